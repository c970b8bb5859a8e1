"""A minimal socketcand server (protocol raw mode) on loopback, so that python-can's client has its peer without kernel CAN."""

import asyncio
import multiprocessing
from contextlib import contextmanager


async def serve(port_out):
    writers = set()

    async def client(reader, writer):
        writer.write(b"< hi >")
        rest = ""
        while chunk := await reader.read(65536):
            rest += chunk.decode()
            while ">" in rest:
                command, _, rest = rest.partition(">")
                words = command.strip(" <").split()
                if words[:1] in (["open"], ["rawmode"]):
                    writer.write(b"< ok >")
                    if words[0] == "rawmode":
                        writers.add(writer)
                elif words[:1] == ["send"]:
                    frame = f"< frame {words[1]} 0.0 {''.join(w.zfill(2) for w in words[3:])} >".encode()
                    for other in writers - {writer}:
                        other.write(frame)
        writers.discard(writer)
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    port_out.put(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def main(port_out):
    asyncio.run(serve(port_out))


@contextmanager
def running():
    """The port of a server in a process of its own."""
    ports = multiprocessing.Queue()
    process = multiprocessing.Process(target=main, args=(ports,), daemon=True)
    process.start()
    try:
        yield ports.get(timeout=10)
    finally:
        process.terminate()
        process.join()

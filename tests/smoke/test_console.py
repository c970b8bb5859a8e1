"""A serial console on a pseudo terminal: what a device says arrives, what is typed reaches it."""

import os
import pty
import tty

from adapters.console_serial import SerialConsole
from harness.model import ConsoleInterface, Interface, Item
from harness.ports import Bench
from tests.support.waiting import until


def test_lines_and_what_is_typed_cross_a_pseudo_terminal(tmp_path):
    far, near = pty.openpty()
    tty.setraw(near)
    said = ConsoleInterface(boot=(), ready="^ready$", login=None)
    item = Item(files={}, interface=Interface(buses={}, console=said))
    bench = Bench(item=item, work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path)
    try:
        with SerialConsole(url=os.ttyname(near)).open("console", bench) as port:
            os.write(far, "boot 1.0\r\nkernel: grüß\r\nready\r\n".encode())
            until(lambda: [line.text for line in port.lines()] == ["boot 1.0", "kernel: grüß", "ready"])
            port.write("version\n")
            assert os.read(far, 100) == b"version\n"
            assert port.trouble() == ""
    finally:
        os.close(far)
        os.close(near)

"""Images onto targets: through a real U-Boot in QEMU over its console and over TFTP, by a lab's programs, and ones that were there before."""

import gc
import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from adapters.console_serial import SerialConsole
from adapters.flash_command import CommandFlasher
from adapters.flash_preflashed import Preflashed
from adapters.flash_uboot import UBootFlasher
from adapters.power_command import CommandPower
from harness.errors import RigError
from harness.model import Interface, Item
from harness.ports import Bench, Identified
from tests.support.desk import needs

BOARD = Path(__file__).parents[1] / "support" / "qemu_board.py"
WRITE = {"write": ("virtio write {address} 0 {blocks}",), "verify": ("virtio read {address} 0 {blocks}",)}


class Cable(threading.Thread):
    """Between the board's serial socket and a pseudo-terminal; `spoil` may change what the bench sends."""

    def __init__(self, folder, spoil=lambda data: data):
        super().__init__(daemon=True)
        self.socket_file, self.spoil, self.over = folder / "serial.sock", spoil, threading.Event()
        self.link = folder / "console"
        self.sent = 0

    def run(self):
        while not self.over.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as board:
                    board.connect(str(self.socket_file))
                    self.relay(board)
            except OSError:
                time.sleep(0.02)

    def relay(self, board):
        master, slave = os.openpty()
        subprocess.run(["stty", "raw", "-echo"], stdin=slave, check=True)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        try:
            while not self.over.is_set():
                for end in select.select([board, master], [], [], 0.1)[0]:
                    if end is board:
                        if not (data := board.recv(4096)):
                            return
                        os.write(master, data)
                    else:
                        data = os.read(master, 4096)
                        self.sent += len(data)
                        board.sendall(self.spoil(data))
        finally:
            self.link.unlink(missing_ok=True)
            os.close(master)
            os.close(slave)


@contextmanager
def board(folder, size=24_000, spoil=lambda data: data):
    """A board that is off, its console cable, and a bench with an image of random bytes."""
    for program in ("qemu-system-aarch64",):
        needs(program)
    assert Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin").is_file(), "apt-get install u-boot-qemu"
    image = folder / "image.bin"
    image.write_bytes(os.urandom(size))
    item = Item(files={"application": str(image)}, interface=Interface(buses={}))
    told, cable = [], Cable(folder, spoil)
    cable.start()

    def command(what):
        return (sys.executable, str(BOARD), what, str(folder))

    recipes = {
        "power": CommandPower(on=command("on"), off=command("off"), state=command("state")),
        "console": SerialConsole(url=str(folder / "console"), powered_by_device=True),
    }
    ports = {}
    bench = Bench(item=item, work=folder, evidence=folder, ports=ports, memory=folder, tell=told.append)
    try:
        with ExitStack() as stack:
            for name, recipe in recipes.items():
                ports[name] = stack.enter_context(recipe.open(name, bench))
            yield bench, image, told, cable
    finally:
        subprocess.run(command("off"), check=True)
        cable.over.set()
        cable.join(5)


def on_disk(folder, image):
    return (folder / "disk.img").read_bytes()[: image.stat().st_size] == image.read_bytes()


def test_u_boot_takes_an_image_over_its_console_writes_it_and_reads_it_back(tmp_path):
    with board(tmp_path) as (bench, image, told, _):
        with UBootFlasher(**WRITE).open("flash", bench) as port:
            assert isinstance(port, Identified)
            assert port.arrival.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
            assert port.arrival.how == "written by U-Boot (ymodem), its checksum read back"
            assert not bench.ports["power"].powered
        assert on_disk(tmp_path, image)
        assert any("50 %" in what for what in told)
        console = [line.text for line in bench.ports["console"].lines()]
        assert any("loady 40400000" in line for line in console)
        assert any("virtio write" in line for line in console)
        assert bench.ports["console"].trouble() == ""  # it goes with the supply, as declared


def test_flash_commands_of_u_boot_are_only_data(tmp_path):
    """The same image into the board's NOR flash: protect, erase, copy, read back."""
    nor = {
        "write": ("protect off 04100000 +{size}", "erase 04100000 +{size}", "cp.b {address} 04100000 {size}"),
        "verify": ("cp.b 04100000 {address} {size}",),
    }
    with board(tmp_path, size=3000) as (bench, _, _, _), UBootFlasher(**nor).open("flash", bench) as port:
        assert "read back" in port.arrival.how


def test_noise_on_the_line_is_repeated_until_it_is_right(tmp_path):
    """Every 7000th byte that the bench sends is another one: YMODEM repeats that block. One is lost: the next attempt succeeds."""
    count = [0]

    def spoil(data):
        out = bytearray()
        for byte in data:
            count[0] += 1
            if count[0] != 15_000:
                out.append(byte ^ (0x55 if count[0] % 7000 == 0 else 0))
        return bytes(out)

    with (
        board(tmp_path, spoil=spoil) as (bench, image, told, _),
        UBootFlasher(**WRITE, attempts=4).open("flash", bench) as port,
    ):
        assert count[0] > 40_000
        assert any("attempt 1 failed: load: YMODEM did not come to its end" in what for what in told)
        assert port.arrival.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
    assert on_disk(tmp_path, image)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the modem library leaves its file open
def test_a_board_that_dies_while_it_is_flashed_is_flashed_again(tmp_path):
    with board(tmp_path) as (bench, image, told, cable):

        def kill():
            deadline = time.monotonic() + 30
            while cable.sent < 9000 and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        recipe = UBootFlasher(**WRITE, load_s=6.0, command_s=4.0)
        with pytest.raises(RigError, match="is gone|cannot be written to"), recipe.open("flash", bench):
            pass
        thread.join()
        with recipe.open("flash", bench):
            assert on_disk(tmp_path, image)
        assert any("the last flashing did not end" in what for what in told)
    gc.collect()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": "MX> ", "prompt_s": 3.0}, "U-Boot's prompt: not within 3 s; the console said .*=>"),
        ({"write": ("mmc write {address} 0 {blocks}",)}, "write: mmc write .*Unknown command 'mmc'"),
        ({"write": ("virtio write {address} 9000 {blocks}",)}, "write: virtio write .* failed"),
        (
            {"verify": ("virtio read {address} 100 {blocks}",)},
            "the image on the target: its CRC-32 is .*, and the image's is",
        ),
        ({"load": "tftp"}, "needs tftp_folder"),
    ],
)
def test_what_u_boot_does_not_do_is_told_in_its_words(tmp_path, fields, said):
    with board(tmp_path, size=2000) as (bench, _, _, _):
        recipe = UBootFlasher(**{**WRITE, "attempts": 1, **fields})
        with pytest.raises(RigError, match=said), recipe.open("flash", bench):
            pass


@pytest.fixture
def network(tmp_path):
    """A network namespace with a TFTP server (tftpd-hpa) in it, and the board wired to it."""
    name, ip = f"shipei{os.getpid()}", needs("ip")

    def inside(*command):
        return [ip, "netns", "exec", name, *command]

    subprocess.run([ip, "netns", "add", name], check=True)
    try:
        for command in (
            [ip, "link", "set", "lo", "up"],
            [ip, "tuntap", "add", "tap0", "mode", "tap"],
            [ip, "addr", "add", "10.99.0.1/24", "dev", "tap0"],
            [ip, "link", "set", "tap0", "up"],
        ):
            subprocess.run(inside(*command), check=True)
        (tmp_path / "tftp").mkdir()
        (tmp_path / "net").write_text(name)
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
        server = [
            needs("in.tftpd"),
            "--foreground",
            "--listen",
            "--address",
            "10.99.0.1:69",
            "--secure",
            str(tmp_path / "tftp"),
        ]
        with subprocess.Popen(inside(*server)) as process:
            yield tmp_path / "tftp"
            process.kill()
    finally:
        subprocess.run([ip, "netns", "del", name], check=True)


def test_u_boot_takes_an_image_from_a_tftp_server(network, tmp_path):
    setup = ("setenv ipaddr 10.99.0.2", "setenv netmask 255.255.255.0", "setenv serverip 10.99.0.1")
    with board(tmp_path, size=2_000_000) as (bench, image, _, _):
        recipe = UBootFlasher(**WRITE, load="tftp", tftp_folder=str(network), tftp_setup=setup)
        with recipe.open("flash", bench) as port:
            assert port.arrival.how == "written by U-Boot (tftp), its checksum read back"
    assert on_disk(tmp_path, image)
    assert list(network.iterdir()) == []


# ---------------------------------------------------------------- a lab's programs, and what was there before

TARGET = """import hashlib, shutil, sys, pathlib
what, target = sys.argv[1], pathlib.Path(sys.argv[2])
if what == "flash":
    if pathlib.Path(str(target) + ".fails").exists():
        pathlib.Path(str(target) + ".fails").unlink()
        sys.exit("FAILED (Write to device failed)")
    shutil.copyfile(sys.argv[3], target)
else:
    print(f"sha256: {hashlib.sha256(target.read_bytes()).hexdigest()}  {target}")
"""


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target.py").write_text(TARGET)
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(5000))
    item = Item(files={"application": str(image)}, interface=Interface(buses={}))
    told = []
    bench = Bench(item=item, work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path, tell=told.append)
    call = (sys.executable, str(tmp_path / "target.py"))
    flash, read = (*call, "flash", str(tmp_path / "emmc"), "{artefact}"), (*call, "read", str(tmp_path / "emmc"))
    return bench, image, told, flash, read


def test_a_program_of_the_lab_flashes_and_another_reads_back(target, tmp_path):
    bench, image, told, flash, read = target
    (tmp_path / "emmc.fails").touch()
    recipe = CommandFlasher(commands=(flash,), read_back=read, power=None)
    with recipe.open("flash", bench) as port:
        assert port.arrival.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
        assert "read back" in port.arrival.how
    assert (tmp_path / "emmc").read_bytes() == image.read_bytes()
    assert any("FAILED (Write to device failed)" in what for what in told)
    assert not list(tmp_path.glob("*-interrupted.json"))


def test_a_target_that_keeps_another_image_is_found_by_its_read_back(target, tmp_path):
    bench, _, _, _, read = target
    (tmp_path / "emmc").write_bytes(b"something else")
    nothing = (sys.executable, "-c", "print('Finished. Total time: 0.1s')")
    kept = CommandFlasher(commands=(nothing,), read_back=read, power=None)
    with (
        pytest.raises(RigError, match="another image is on it.*a person must look at the bench"),
        kept.open("flash", bench),
    ):
        pass
    said = "should print the SHA-256 of what is on the target, and printed 'Finished"
    with pytest.raises(RigError, match=said), Preflashed(command=nothing, power=None).open("flash", bench):
        pass


def test_a_preflashed_target_is_identified_or_it_is_not_the_item(target, tmp_path):
    bench, image, _, _, read = target
    (tmp_path / "emmc").write_bytes(image.read_bytes())
    with Preflashed(command=read, power=None).open("flash", bench) as port:
        assert port.arrival.how.startswith("preflashed, its SHA-256 read back with")
    (tmp_path / "emmc").write_bytes(b"x")
    with (
        pytest.raises(RigError, match="another image is on it"),
        Preflashed(command=read, power=None).open("flash", bench),
    ):
        pass
    with pytest.raises(RigError, match="say either `command`, or `on`"), Preflashed(power=None).open("flash", bench):
        pass

"""Virtual CAN interfaces by netlink, without any tool: the standard library only, because guests run it as their first process."""

import os
import socket
import struct
from pathlib import Path

ARPHRD_CAN = 280
CAN_MTU, CANFD_MTU = 16, 72
NETLINK_ROUTE, RTM_NEWLINK, RTM_DELLINK, NLMSG_ERROR = 0, 16, 17, 2
REQUEST, ACK, EXCL, CREATE = 0x1, 0x4, 0x200, 0x400
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_INFO_KIND = 3, 4, 18, 1
IFF_UP = 1


def is_can(name: str) -> bool:
    """Whether an interface of that name is there and is CAN."""
    file = Path("/sys/class/net") / name / "type"
    return file.is_file() and file.read_text().strip() == str(ARPHRD_CAN)


def trouble(name: str, fd: bool) -> str:
    """What is wrong with an interface that is there, with the command that mends it; empty if nothing is."""
    folder = Path("/sys/class/net") / name
    if not int((folder / "flags").read_text(), 16) & IFF_UP:
        return f"{name} is down: ip link set {name} up"
    if fd and int((folder / "mtu").read_text()) < CANFD_MTU:
        return f"{name} carries no CAN FD: ip link set {name} mtu 72, or --no-fd"
    return ""


def add(name: str, fd: bool, kind: str = "vcan") -> None:
    """Create an interface and set it up. Raises OSError: EOPNOTSUPP where the kernel has no such kind."""
    attributes = attribute(IFLA_IFNAME, name.encode() + b"\0")
    attributes += attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, kind.encode()))
    ask(RTM_NEWLINK, CREATE | EXCL, message(0, 0, 0) + attributes)
    set_up(name, fd)


def set_up(name: str, fd: bool) -> None:
    size = attribute(IFLA_MTU, struct.pack("=I", CANFD_MTU if fd else CAN_MTU))
    index = socket.if_nametoindex(name)
    ask(RTM_NEWLINK, 0, message(index, 0, 0) + size)
    ask(RTM_NEWLINK, 0, message(index, IFF_UP, IFF_UP))


def set_up_loopback() -> None:
    """lo: what talks TCP to itself expects it."""
    ask(RTM_NEWLINK, 0, message(socket.if_nametoindex("lo"), IFF_UP, IFF_UP))


def remove(name: str) -> None:
    ask(RTM_DELLINK, 0, message(socket.if_nametoindex(name), 0, 0))


def message(index: int, flags: int, change: int) -> bytes:
    """struct ifinfomsg."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def attribute(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def ask(what: int, flags: int, body: bytes) -> None:
    """One request to the kernel and its answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as link:
        link.bind((0, 0))
        link.send(struct.pack("=IHHII", 16 + len(body), what, REQUEST | ACK | flags, 1, 0) + body)
        answer = link.recv(65536)
    kind = struct.unpack_from("=H", answer, 4)[0]
    code = struct.unpack_from("=i", answer, 16)[0]
    if kind == NLMSG_ERROR and code:
        raise OSError(-code, os.strerror(-code))

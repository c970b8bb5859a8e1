"""What a device speaks: its buses, its console, its diagnostics; and what a noun is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, dataclass_transform

T = TypeVar("T")
Value = bool | int | float | str


@dataclass_transform(frozen_default=True, kw_only_default=True)
def noun(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass; read from a file it takes no unknown key and no other type."""
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


@noun
class E2e:
    """End-to-end protection of one message (AUTOSAR PRS_E2EProtocol); offsets follow the profile's standard layout."""

    message: str
    profile: Literal["P01", "P02", "P05", "P11"]
    data_id: int | None = None
    data_ids: tuple[int, ...] = ()  # P02: sixteen, by counter


@noun
class Supervision:
    """How the device shows that a message it needs is lost or invalid, and after how long."""

    message: str
    timeout_ms: float
    signal: str
    value: str


@noun
class BusInterface:
    """What the device speaks on one CAN bus."""

    dbc: str
    node: str
    bitrate: int
    vss: str | None = None
    fd: bool = False
    data_bitrate: int | None = None
    e2e: tuple[E2e, ...] = ()
    supervised: tuple[Supervision, ...] = ()


@noun
class Login:
    """What a console asks for before it lets somebody in, and the answers."""

    user: str
    password: str = ""
    prompt: str = "login:"
    password_prompt: str = "Password:"


@noun
class ConsoleInterface:
    """Boot stages in their order, and the line that says ready: plain text, with ^ and $ for line start and end."""

    boot: tuple[str, ...]
    ready: str
    login: Login | None = None


@noun
class Identification:
    """What a data identifier reads on the item that is claimed (ISO 14229-1, 11.2); `text` in ASCII."""

    did: int
    text: str


@noun
class DiagnosticsInterface:
    """Where the device answers diagnostic requests (ISO 15765-2, 10.3): identifiers, addressing, the filler of short frames.

    `target` and `source` are address bytes: of extended addressing both, of mixed the address extension in `target`.
    """

    bus: str
    request: int
    response: int
    extended: bool = False
    fd: bool = False
    padding: int = 0xCC
    addressing: Literal["normal", "extended", "mixed"] = "normal"
    target: int | None = None
    source: int | None = None
    identification: tuple[Identification, ...] = ()


@noun
class Interface:
    """What the device speaks: buses by name, a console, diagnostics."""

    buses: Mapping[str, BusInterface]
    console: ConsoleInterface | None = None
    diagnostics: DiagnosticsInterface | None = None

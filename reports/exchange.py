"""The diagnostic exchange of one test as people read it: who said what to whom, in the words of ISO 15765-2 and ISO 14229-1."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from udsoncan import Request, Response

from harness.can.trace import Rows
from harness.model import Judged, Outcome
from harness.ports import TX
from harness.vehicle.diagnostics import NEGATIVE, Nrc
from harness.vehicle.isotp import CONSECUTIVE, CONTINUE, FIRST, FLOW, FRAME_BYTES, OVERFLOW, SINGLE, WAIT, gap_ms
from reports.evidence import Evidence
from reports.histogram import histogram

MOST_SHOWN = 60
FLOWS = {CONTINUE: "continue", WAIT: "wait", OVERFLOW: "overflow"}


@dataclass(frozen=True, kw_only=True)
class Said:
    """One diagnostic frame: when, in ms from the exchange's start, by whom, its bytes behind the address byte and what they mean."""

    at_ms: float
    by_tester: bool
    functional: bool
    data: bytes
    address: bytes = b""

    @property
    def meaning(self) -> str:
        return in_words(self.data)


def in_words(data: bytes) -> str:
    """What a frame means.

    >>> in_words(bytes.fromhex("0322f186cccccccc")), in_words(bytes.fromhex("037f2231cccccccc"))
    ('ReadDataByIdentifier', 'refused: RequestOutOfRange (ReadDataByIdentifier)')
    >>> in_words(bytes.fromhex("102b62012000")), in_words(bytes.fromhex("300000cccccccccc")), in_words(bytes.fromhex("21000000"))
    ('first of 43 bytes: answer to ReadDataByIdentifier', 'continue, all, 0 ms apart', 'consecutive 1')
    >>> in_words(bytes.fromhex("000922f189f189f189f189cc")), in_words(bytes.fromhex("00"))
    ('ReadDataByIdentifier', 'no message')
    """
    kind, low = (data[0] >> 4, data[0] & 15) if data else (-1, 0)
    if kind == SINGLE and 0 < low < len(data):
        return service(data[1 : 1 + low])
    if kind == SINGLE and low == 0 and len(data) > FRAME_BYTES - 1 and 0 < data[1] <= len(data) - 2:  # of CAN FD
        return service(data[2 : 2 + data[1]])
    if kind == FIRST and len(data) > 2:
        return f"first of {low << 8 | data[1]} bytes: {service(data[2:])}"
    if kind == CONSECUTIVE:
        return f"consecutive {low}"
    if kind == FLOW and len(data) > 2:
        block = f"{data[1]} frames" if data[1] else "all"
        return f"{FLOWS.get(low, 'reserved')}, {block}, {gap_ms(data[2]):g} ms apart"
    return "no message"


def service(payload: bytes) -> str:
    """The service of a request or an answer, by udsoncan's names.

    >>> service(b"\\xba\\x00"), service(b"\\x7f\\xba\\x11"), service(b"\\x7f\\x31\\x78")
    ('service BA', 'refused: ServiceNotSupported (service BA)', 'pending (RoutineControl)')
    """
    said, number = Response.from_payload(payload), payload[0]
    if number == NEGATIVE and payload[2:3] == bytes([Nrc.PENDING]):
        return f"pending ({named(said.service, payload[1])})"
    if number == NEGATIVE and len(payload) > 2:
        refusal = Response.Code.get_name(payload[2]) or f"{payload[2]:02X}"
        return f"refused: {refusal} ({named(said.service, payload[1])})"
    if said.service is not None and said.positive:
        return f"answer to {named(said.service, number)}"
    return named(Request.from_payload(payload).service, number)


def named(known: Any, number: int) -> str:
    return str(known.get_name()) if known is not None else f"service {number:02X}"


def spoken(evidence: Evidence, judged: Judged) -> list[Said]:
    """The diagnostic frames of a requirement's tests; of one that is not passed, those before it was measured."""
    told = evidence.submission.interface.diagnostics
    if told is None or told.bus not in evidence.traces:
        return []
    passed = judged.outcome is Outcome.PASS
    rows = evidence.rows(judged.requirement, told.bus) if passed else evidence.decisive(judged, told.bus)
    ours = rows["flags"] & TX != 0
    asked = (rows["id"] == told.request) | (
        rows["id"] == (told.functional if told.functional is not None else told.request)
    )
    spoken = rows[(ours & asked) | (~ours & (rows["id"] == told.response))]
    return frames(spoken, told.functional, len(told.ahead()))


def frames(rows: Rows, functional: int | None, ahead: int = 0) -> list[Said]:
    """What was said; `ahead`: how many address bytes a frame has."""
    start_ns = int(rows["time_ns"][0]) if len(rows) else 0
    return [
        Said(
            at_ms=(int(r["time_ns"]) - start_ns) / 1e6,
            by_tester=bool(r["flags"] & TX),
            functional=int(r["id"]) == functional,
            data=r["data"].tobytes()[ahead : r["length"]],
            address=r["data"].tobytes()[:ahead],
        )
        for r in rows
    ]


def answer_times_ms(said: Sequence[Said]) -> list[float]:
    """From each request's last frame to the first frame of its answer, as far as one follows the other.

    >>> ask, answer = (Said(at_ms=t, by_tester=b, functional=False, data=bytes.fromhex(d)) for t, b, d in ((0, True, "023e00"), (4, False, "027e00")))
    >>> answer_times_ms([ask, answer])
    [4.0]
    """
    found = []
    for one, other in zip(said[:-1], said[1:], strict=True):
        asks = one.by_tester and one.data and one.data[0] >> 4 in (SINGLE, CONSECUTIVE)
        if asks and not other.by_tester and other.data and other.data[0] >> 4 in (SINGLE, FIRST):
            found.append(float(other.at_ms - one.at_ms))
    return found


def section(evidence: Evidence, judged: Judged) -> str:
    """The exchange as a piece of a page; empty where nobody asked anything."""
    if not judged.requirement.startswith(("UDS", "ISOTP", "SEC", "FLASH")):
        return ""
    said = spoken(evidence, judged)
    if not said:
        return ""
    shown = said[:MOST_SHOWN] if judged.outcome is Outcome.PASS else said[-MOST_SHOWN:]
    left_out = len(said) - len(shown)
    rows = "".join(row(one) for one in shown)
    head = "<tr><th>ms<th>测试端 tester<th><th>被测件 device<th>含义 meaning"
    told = evidence.submission.interface.diagnostics
    drawn = histogram("应答时间 answer times", answer_times_ms(said), "ms", high=told.p2_ms if told else None)
    more = f"<p>另有 {left_out} 帧 {left_out} frames more</p>" if left_out else ""
    return f"<h2>诊断会话 exchange</h2>{drawn}<table class=exchange>{head}{rows}</table>{more}"


def row(one: Said) -> str:
    address = f"<code>[{one.address.hex()}]</code> " if one.address else ""
    text, arrow = f"{address}<code>{one.data.hex(' ')}</code>", "→" if one.by_tester else "←"
    whole = f"{arrow} 功能寻址 all" if one.functional else arrow
    left, right = (text, "") if one.by_tester else ("", text)
    return f"<tr><td>{one.at_ms:.3f}<td>{left}<td>{whole}<td>{right}<td>{escape(one.meaning)}"

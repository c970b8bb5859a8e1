"""`shipei trace`: what is in a recording, in another form, by the names of a DBC."""

import csv
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from harness.can import decode, logs
from harness.can.log import Log
from harness.documents import meant
from harness.errors import BadInput
from harness.ports import ERROR, FD, TX
from reports import plot
from reports.evidence import Track
from shipei import show
from shipei.command import Json, command

trace_app = typer.Typer(
    help="Recordings: of runs and of other tools (BLF, ASC, candump, MF4, CSV, TRC).", no_args_is_help=True
)
Recording = Annotated[
    Path, typer.Argument(help="A recording: .blf .asc .log .mf4 .csv .trc, or a run's trace-BUS.bin.")
]


@command(trace_app, "info")
def info_command(log: Recording, as_json: Json = False) -> int:
    """What a recording holds: frames, channels, times, identifiers; and what of it could not be read."""
    found = summary(log, logs.read(log))
    show.as_data(found) if as_json else show.recording(found)
    return 0


def summary(file: Path, log: Log) -> dict[str, Any]:
    """Of every channel: frames, identifiers, time in s, frames/s, CAN FD, error frames, frames that were sent."""
    channels = []
    for number in np.unique(log.rows["channel"]).tolist():
        rows = log.rows[log.rows["channel"] == number]
        seconds = float(rows["time_ns"].max() - rows["time_ns"].min()) / 1e9
        channels.append(
            {
                "channel": log.channels[number] if number < len(log.channels) else str(number),
                "frames": len(rows),
                "identifiers": len(np.unique(rows["id"])),
                "seconds": round(seconds, 6),
                "frames_per_s": round(len(rows) / seconds, 1) if seconds else None,
                "fd": int(np.count_nonzero(rows["flags"] & FD)),
                "errors": int(np.count_nonzero(rows["flags"] & ERROR)),
                "sent": int(np.count_nonzero(rows["flags"] & TX)),
            }
        )
    steps = np.diff(log.rows["time_ns"])
    return {
        "file": str(file),
        "frames": len(log.rows),
        "out_of_order": int(np.count_nonzero(steps < 0)),
        "channels": channels,
        "lost": logs.told(list(log.lost)),
    }


@command(trace_app, "convert")
def convert_command(
    log: Recording,
    to: Annotated[Path, typer.Argument(help="The new file; its ending says the form.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Write a recording in another form: all of it that can be read; what is lost is said."""
    logs.known(to)
    if to.exists() and not force:
        raise BadInput(f"{to} exists already; --force replaces it")
    found = logs.read(log)
    logs.write(found, to)
    show.plain({"written": to, "frames": len(found.rows), **lost(found)}, as_json)
    return 0


def lost(log: Log) -> dict[str, Any]:
    return {"lost": logs.told(list(log.lost))} if log.lost else {}


@command(trace_app, "decode")
def decode_command(
    log: Recording,
    dbc: Annotated[Path, typer.Option("--dbc", help="The communication matrix.")],
    signal: Annotated[list[str] | None, typer.Option("--signal", "-s", help="Of these signals only.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="Of this channel only.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Every value, as CSV: s, message, signal, value.")
    ] = None,
    as_json: Json = False,
) -> int:
    """The values of signals: how many, from where to where; every one with --output."""
    codec = decode.Codec(decode.load(dbc))
    found, decoded, wanted = chosen(log, codec, dbc, signal or [], channel)
    if output is not None:
        write_values(decoded, wanted, output)
    table = [values(*key, column, codec) for key, column in sorted(wanted.items())]
    show.as_data({"signals": table, **lost(found)}) if as_json else show.decoded(
        table, logs.told(list(found.lost)), output
    )
    return 0


@command(trace_app, "plot")
def plot_command(
    log: Recording,
    dbc: Annotated[Path, typer.Option("--dbc", help="The communication matrix.")],
    signal: Annotated[list[str], typer.Option("--signal", "-s", help="A signal; one axis for each, in this order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture: .svg or .png.")],
    channel: Annotated[str | None, typer.Option("--channel", help="Of this channel only.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Signals over time, one below the other, as a picture."""
    if output.suffix.lower() not in (".svg", ".png"):
        raise BadInput(f"{output}: a picture is .svg or .png")
    if output.exists() and not force:
        raise BadInput(f"{output} exists already; --force replaces it")
    codec = decode.Codec(decode.load(dbc))
    found, decoded, wanted = chosen(log, codec, dbc, signal, channel)
    silent = [s for s in signal if not any(name == s for _, name in wanted)]
    if silent:
        raise BadInput([f"{log}: no frame with {s}" for s in silent])
    start_ns = min(int(decoded[m].time_ns[0]) for m, _ in wanted)
    tracks = [
        Track(name=with_unit(name, codec), sent_by_bench=True, time_s=time_s, values=shown)
        for name in signal
        for time_s, shown in [points(decoded, wanted, name, start_ns)]
    ]
    figure = plot.signals_figure(tracks, str(log.name), "s from the first of these frames")
    picture = plot.as_png(figure) if output.suffix.lower() == ".png" else plot.as_svg(figure).encode()
    part = output.with_name(output.name + ".part")
    try:
        part.write_bytes(picture)
        part.replace(output)
    except OSError as error:
        raise BadInput(f"{output}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    show.plain({"written": output, "signals": len(tracks), **lost(found)}, as_json)
    return 0


def with_unit(name: str, codec: decode.Codec) -> str:
    unit = next((s.unit for m in codec.messages.values() for s in m.signals if s.name == name), None)
    return f"{name} [{unit}]" if unit else name


def points(decoded: Any, wanted: Any, name: str, start_ns: int) -> tuple[list[float], list[Any]]:
    """Every value of a signal and when, in s; words where its value has one."""
    message, column = next((m, c) for (m, s), c in wanted.items() if s == name)
    stamps = decoded[message].time_ns
    present = np.ones(len(stamps), bool) if column.present is None else column.present
    shown = column.labels() if column.choices else column.values
    return ((stamps[present] - start_ns) / 1e9).tolist(), np.asarray(shown)[present].tolist()


def chosen(
    log: Path, codec: decode.Codec, dbc: Path, signal: list[str], channel: str | None
) -> tuple[Log, Any, dict[tuple[str, str], decode.Column]]:
    """A recording, its frames by message, and the columns of the signals that are wanted (all, where none is named)."""
    found = logs.read(log)
    rows = found.rows
    if channel is not None:
        if channel not in found.channels:
            raise BadInput(f"{log}: no channel {channel!r}{meant(channel, found.channels)}")
        rows = rows[rows["channel"] == list(found.channels).index(channel)]
    known = {s.name for m in codec.messages.values() for s in m.signals}
    if unknown := [s for s in signal if s not in known]:
        raise BadInput([f"{dbc}: no signal {s!r}{meant(s, known)}" for s in unknown])
    decoded = codec.decode(rows)
    wanted = {(m, s): c for m, d in decoded.items() for s, c in d.signals.items() if not signal or s in signal}
    return found, decoded, wanted


def values(message: str, name: str, column: decode.Column, codec: decode.Codec) -> dict[str, Any]:
    """One signal: how often it came, its least and greatest value, its last."""
    kept = column.values if column.present is None else column.values[column.present]
    unit = next(s.unit for s in codec.messages[message].signals if s.name == name)
    found: dict[str, Any] = {"message": message, "signal": name, "unit": unit or "", "count": len(kept)}
    if len(kept):
        last = column.choices.get(int(column.raw[-1]), kept[-1].item()) if column.choices else kept[-1].item()
        found |= {"low": kept.min().item(), "high": kept.max().item(), "last": last}
    return found


def write_values(decoded: Any, wanted: Any, output: Path) -> None:
    """Every value in the order of messages and signals; a table for spreadsheets."""
    if not output.parent.is_dir():
        raise BadInput(f"{output}: there is no folder {output.parent}")
    part = output.with_name(output.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["s", "message", "signal", "value"])
        for message, name in sorted(wanted):
            stamps, column = decoded[message].time_ns, wanted[message, name]
            present = np.ones(len(stamps), bool) if column.present is None else column.present
            for time_ns, value in zip(
                stamps[present].tolist(), np.asarray(column.values)[present].tolist(), strict=True
            ):
                writer.writerow([f"{time_ns / 1e9:.9f}", message, name, value])
    part.replace(output)

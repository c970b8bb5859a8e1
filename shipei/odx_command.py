"""`shipei submission odx`: the diagnostics of a vendor's ODX or PDX, as lines for the submission."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import BadInput
from harness.inputs import odx
from shipei import show
from shipei.command import Json

HEXADECIMAL = {
    "request": 3,
    "response": 3,
    "functional": 3,
    "padding": 2,
    "target": 2,
    "source": 2,
    "sid": 2,
    "did": 4,
    "rid": 4,
}


def odx_command(
    file: Annotated[Path, typer.Argument(help="A PDX archive, or one ODX document.")],
    ecu: Annotated[str | None, typer.Option("--ecu", help="Which ECU variant, where it describes several.")] = None,
    bus: Annotated[str, typer.Option("--bus", help="The submission's bus that it answers on.")] = "body",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the lines here.")] = None,
    as_json: Json = False,
) -> int:
    """Write an ODX's diagnostics as `interface.diagnostics` of a submission; comments say what it does not tell."""
    if output and output.exists():
        raise BadInput(f"{output} exists already")
    found = odx.declared(file, ecu, bus)
    if as_json:
        text = json.dumps({"ecu": found.ecu, "diagnostics": found.diagnostics, "notes": found.notes}, indent=1) + "\n"
    else:
        notes = "".join(f"# {note}\n" for note in found.notes)
        text = f"# {found.ecu}, from {file.name}; put it under `interface`\n{notes}{lines(found.diagnostics)}"
    if output:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{output}: cannot be written: {error.strerror}") from None
        show.plain({"written": output}, as_json=False)
    else:
        sys.stdout.write(text)
    return 0


def lines(diagnostics: dict[str, Any]) -> str:
    """As a person would write it into a submission: a line for a thing, identifiers in hexadecimal.

    >>> print(lines({"bus": "body", "request": 0x7A0, "data": [{"did": 0xF189, "length": 5, "writable": True}]}))
    diagnostics:
      bus: body
      request: 0x7A0
      data:
        - {did: 0xF189, length: 5, writable: true}
    <BLANKLINE>
    """
    said = ["diagnostics:"]
    for key, value in diagnostics.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            said += [
                f"  {key}:",
                *(f"    - {{{', '.join(f'{k}: {plain(k, v)}' for k, v in one.items())}}}" for one in value),
            ]
        else:
            said.append(f"  {key}: {plain(key, value)}")
    return "\n".join(said) + "\n"


def plain(key: str, value: Any) -> str:
    if key in HEXADECIMAL and isinstance(value, int):
        return f"0x{value:0{HEXADECIMAL[key]}X}"
    return value if isinstance(value, str) else json.dumps(value)

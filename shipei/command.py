"""What every `shipei` command has in common: its exit code, its messages for people, its usual options."""

import functools
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import BadInput, Fault
from shipei import show

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
Runs = Annotated[Path, typer.Option("--runs", help="Where runs are kept.")]
RigName = Annotated[str, typer.Option("--rig", help="sim, hub, or a rig file.")]
ProfileName = Annotated[str | None, typer.Option("--profile", help="A profile other than the submission's own.")]
PublicKeyFile = Annotated[
    Path | None, typer.Option("--key", help="The lab's public key, for certificates of hardware rigs.")
]
KeyFile = Annotated[Path | None, typer.Option("--key", help="The lab's private key; virtual rigs use the demo key.")]
SubmissionPath = Annotated[Path, typer.Argument(help="The submission's folder or its submission.yaml.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a bench that is taken.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line on standard error for each test that starts.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Build the Allure report afterwards.")]


def command(where: typer.Typer, name: str, **settings: Any) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """A command that returns its exit code; what it raises becomes a message for people and the right code."""

    def register(function: Callable[..., int]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> None:
            as_json = bool(options.get("as_json"))
            try:
                code = function(*arguments, **options)
            except BadInput as error:
                show.problem("input", list(error.mistakes), as_json)
                code = 2
            except Fault as error:
                show.problem(getattr(error, "kind", "rig"), [str(error)], as_json)
                code = 3
            except KeyboardInterrupt:
                show.problem("interrupted", ["interrupted; what was recorded so far stays"], as_json)
                code = 3
            except Exception as error:
                whose, said = unforeseen(error, [v for v in (*arguments, *options.values()) if isinstance(v, Path)])
                show.problem(whose, [said], as_json)
                code = 2 if whose == "input" else 3
            raise typer.Exit(code)

        where.command(name, **settings)(wrapped)
        return wrapped

    return register


def unforeseen(error: Exception, named: Sequence[Path]) -> tuple[str, str]:
    """Return whose an exception is that nobody expected, and what to say of it: about a file that the person named, or ours."""
    if isinstance(error, OSError) and isinstance(error.filename, str | Path):
        for one in named:
            inside = not one.is_dir() and Path(error.filename).is_relative_to(one)
            if Path(error.filename) == one or inside or str(error.filename).startswith(f"{one}."):
                return "input", f"{one}: {error.strerror}"
    return "internal", "".join(traceback.format_exception(error))

"""`shipei images`: the reference images for emulated boards, built from Debian's packages and our sources."""

from pathlib import Path
from typing import Annotated

import typer

from harness.documents import meant
from harness.errors import BadInput
from rigs.images import build, reference
from shipei import show
from shipei.command import Json, command

images_app = typer.Typer(help="Complete images for emulated boards.", no_args_is_help=True)


@command(images_app, "list")
def list_command(as_json: Json = False) -> int:
    """The names of all reference images."""
    show.plain(
        {"images": "\n".join(build.catalogue())} if not as_json else {"images": list(build.catalogue())}, as_json
    )
    return 0


@command(images_app, "build")
def build_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the submissions go, a folder each.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Which; all by default.")] = None,
    campaign: Annotated[
        bool, typer.Option("--campaign", help="The references in every other form too, and a campaign of all.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Build reference images: boot loader, kernel, root file system, application. Downloads once; then it works offline."""
    known = build.catalogue()
    wrong = [f"unknown image {n!r}{meant(n, known)}" for n in names or () if n not in known]
    if wrong:
        raise BadInput(wrong)
    try:
        with show.progress(as_json) as watch:
            made = [build.build(folder / name, known[name], watch) for name in names or known]
            file = reference.write(folder, watch) if campaign else None
    except build.TROUBLE as error:
        raise BadInput(f"the images cannot be built: {error}") from error
    said = {"images": [str(m) for m in made], **({"campaign": str(file)} if file else {})}
    show.plain(said if as_json else said | {"images": "\n".join(said["images"])}, as_json)
    return 0

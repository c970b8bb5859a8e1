"""Load a bench: its ports in the order they open, each by a recipe that is found by its import path."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, cast

from harness import documents
from harness.documents import Document, meant
from harness.driving.closed_loop import LOOPS
from harness.errors import BadInput, RigError
from harness.model import Item, Rig
from harness.paths import RIGS, memory_of_rig
from harness.ports import Bench, LeaseRecipe, Recipe


def locate(given: str) -> Path:
    """The rig file that a person means: a path, or the name of one that comes with the product."""
    if given.endswith((".yaml", ".yml")) or "/" in given:
        return Path(given)
    file = RIGS / f"{given}.yaml"
    if not file.is_file():
        raise BadInput(
            f"unknown rig {given!r}{meant(given, [f.stem for f in RIGS.glob('*.yaml')])}; or give a path to a file"
        )
    return file


def load(file: Path) -> Rig:
    """Read and check a rig file with all its recipes; raise BadInput with every mistake."""
    document = documents.read(file)
    rig = documents.load(Rig, document)
    if rig is not None:
        for name in rig.ports:
            recipe(document, ("ports", name))
        if rig.lease is not None:
            recipe(document, ("lease",))
        check(document, rig, file)
    if document.mistakes or rig is None:
        raise BadInput(document.mistakes)
    return rig


def check(document: Document, rig: Rig, file: Path) -> None:
    """What the parts of a rig say of each other."""
    for n, pair in enumerate(rig.wired):
        for name in pair:
            if name not in rig.ports:
                document.mistake(("wired", n), f"there is no port {name!r}{meant(name, rig.ports)}")
    for n, instrument in enumerate(rig.instruments):
        for key in ("calibrated", "valid_until"):
            value = getattr(instrument, key)
            if value is not None and not is_date(value):
                document.mistake(("instruments", n, key), f"should be a date as YYYY-MM-DD, not {value!r}")
    if rig.golden is not None:
        golden = file.parent / rig.golden.submission
        if not golden.exists():
            document.mistake(("golden", "submission"), f"no such submission: {rig.golden.submission}")
        if not rig.golden.check:
            document.mistake(("golden", "check"), "should name the requirements of the short check")


def is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def lease(file: Path) -> LeaseRecipe:
    """The recipe that reserves a rig which has been checked."""
    found: Any = recipe(documents.read(file), ("lease",))
    return cast(LeaseRecipe, found)


def recipes(file: Path) -> dict[str, Recipe]:
    """The recipes of a rig that has been checked, by port name, in the order they open."""
    document = documents.read(file)
    return {n: found for n in document.data["ports"] if (found := recipe(document, ("ports", n))) is not None}


def recipe(document: Document, where: documents.Path_) -> Recipe | None:
    fields = document.data
    for step in where:
        fields = fields[step]
    use = fields.get("use")
    if not isinstance(use, str) or use.count(":") != 1:
        document.mistake(where, f"{' '.join(map(str, where)).replace('ports', 'port')} needs `use: module:Class`")
        return None
    module_name, class_name = use.split(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        document.mistake((*where, "use"), f"no module {error.name!r}{meant(module_name, known_modules())}")
        return None
    cls = getattr(module, class_name, None)
    life = "open" if where[0] == "ports" else "reserve"
    if not isinstance(cls, type) or not hasattr(cls, life):
        classes = [n for n, c in vars(module).items() if isinstance(c, type) and hasattr(c, life)]
        document.mistake((*where, "use"), f"{module_name} has no recipe {class_name!r}{meant(class_name, classes)}")
        return None
    plain = document.part(where, {k: v for k, v in fields.items() if k != "use"})
    found: Recipe | None = documents.load(cls, plain)
    return found


def known_modules() -> list[str]:
    return [f"adapters.{f.stem}" for f in (RIGS.parent / "adapters").glob("*.py") if f.stem != "__init__"]


def stays_closed(name: str, recipe: Recipe, item: Item) -> bool:
    """Whether a port is a bus that this item does not speak."""
    return bool(getattr(recipe, "is_bus", False)) and name not in item.interface.buses


@contextmanager
def opened(
    rig_file: Path,
    item: Item,
    work: Path,
    evidence: Path,
    watch: Callable[[str, Any], None] = lambda name, port: None,
    tell: Callable[[str], None] = lambda what: None,
) -> Iterator[Mapping[str, Any]]:
    """Open every port top to bottom, telling `watch` of each, and `tell` of what takes long; close them in reverse, always.

    Raises RigError, naming the port, when one does not open.
    """
    ports: dict[str, Any] = {}
    memory = memory_of_rig(load(rig_file).name)
    with ExitStack() as stack:
        for name, one in recipes(rig_file).items():
            if stays_closed(name, one, item):
                continue
            bench = Bench(item=item, work=work, evidence=evidence, ports=ports, memory=memory, tell=tell, loops=LOOPS)
            try:
                ports[name] = stack.enter_context(one.open(name, bench))
                watch(name, ports[name])
            except OSError as error:
                raise RigError(f"port {name} did not open: {error}") from error
            except RigError as error:
                raise RigError(f"port {name}: {str(error).removeprefix(f'port {name}: ')}") from error
        yield ports

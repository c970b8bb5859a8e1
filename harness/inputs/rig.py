"""Load a bench: its ports in the order they open, each by a recipe that is found by its import path."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

from harness import documents
from harness.documents import Document, meant
from harness.driving.closed_loop import LOOPS
from harness.errors import BadInput, Fault, RigError
from harness.inputs.submission import PLAIN
from harness.model import Item, Rig
from harness.paths import RIGS
from harness.ports import OR_NOTHING, Bench, LeaseRecipe, Recipe


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


@dataclass(frozen=True, kw_only=True)
class RigFile:
    """A rig file that has been checked: what it says, and its recipes by port, in the order they open."""

    file: Path
    document: Document
    rig: Rig
    recipes: Mapping[str, Recipe]
    lease: LeaseRecipe | None

    @property
    def forms(self) -> set[str]:
        """What it runs; a bench, whose flasher takes what it is given, everything but a complete image."""
        found = {form for one in self.recipes.values() if (form := getattr(one, "form", None)) is not None}
        return found or {"program", "container"}

    @property
    def abilities(self) -> set[str]:
        """What every bus of it can do beside sending and receiving; an ordinary bus can be overloaded."""
        buses = [one for one in self.recipes.values() if getattr(one, "is_bus", False)]
        found = [set(getattr(one, "abilities", ("overload",))) for one in buses]
        return set.intersection(*found) if found else set()

    @property
    def switching(self) -> dict[str, Any]:
        """The recipes that have a safe state, by port."""
        return {name: one for name, one in self.recipes.items() if hasattr(one, "make_safe")}


def of_document(document: Document) -> Rig | None:
    """What a rig file says. `realtime`, which rigs said once and nothing asks for, is not looked at."""
    if isinstance(document.data, dict):
        document.data.pop("realtime", None)
    return documents.load(Rig, document)


def read(file: Path) -> RigFile:
    """Read and check a rig file with all its recipes; raise BadInput with every mistake."""
    document = documents.read(file)
    rig = of_document(document)
    found: dict[str, Recipe | None] = {}
    lease: Any = None
    if rig is not None:
        found = {name: recipe(document, ("ports", name)) for name in rig.ports}
        stand(document, found)
        check_kind(document, rig, found)
        lease = recipe(document, ("lease",)) if rig.lease is not None else None
        check(document, rig, file)
    if document.mistakes or rig is None:
        raise BadInput(document.mistakes)
    recipes = {name: one for name, one in found.items() if one is not None}
    return RigFile(file=file, document=document, rig=rig, recipes=recipes, lease=cast(LeaseRecipe | None, lease))


def stand(document: Document, recipes: Mapping[str, Recipe | None]) -> None:
    """What stands on another port finds it, above itself, and it is one that can carry it."""
    above: list[str] = []
    for name, one in recipes.items():
        for field, kinds in (one.stands_on() if one is not None and hasattr(one, "stands_on") else {}).items():
            other = getattr(one, field)
            where = ("ports", name, *((field,) if field in document.data["ports"][name] else ()))
            if other is None or (OR_NOTHING in kinds and len(where) == 2 and other not in recipes):
                continue
            if other not in recipes:
                why = f"{field}: there is no port {other!r}{meant(other, recipes)}"
            elif other not in above:
                why = f"{field}: {other} opens after {name}; ports open from top to bottom, so {other} goes above it"
            elif not set(getattr(recipes[other], "opens", kinds)) & set(kinds):
                why = f"{field}: {name} stands on a {' or a '.join(k for k in kinds if k != OR_NOTHING)}, and {other} is none"
            else:
                continue
            document.mistake(where, why)
        above.append(name)


def check_kind(document: Document, rig: Rig, recipes: Mapping[str, Recipe | None]) -> None:
    """A bench is hardware at every port: what its file says of itself is held against what its recipes say."""
    for name, one in recipes.items() if rig.kind == "bench" else ():
        said = getattr(one, "virtual", None)
        if one is not None and said is not False:
            how = "is virtual" if said else "does not say whether it is hardware (virtual: ClassVar[bool] = False)"
            use = rig.ports[name]["use"]
            document.mistake(("kind",), f"bench is hardware at every port, and port {name} ({use}) {how}")


def check(document: Document, rig: Rig, file: Path) -> None:
    """What the parts of a rig say of each other."""
    if not PLAIN.fullmatch(rig.name):
        document.mistake(("name",), f"{rig.name!r} should be 1 to 64 letters, digits or . _ + -: a folder's name")
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


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Who is told of each port as it opens: `left` of one that stays closed, and why; `failed` of one that does not open."""

    opened: Callable[[str, Any], None] = lambda name, port: None
    left: Callable[[str, str], None] = lambda name, why: None
    failed: Callable[[str, Fault], None] | None = None  # without it, the first that does not open is raised
    stays: Callable[[Recipe], str] = lambda recipe: ""  # why one stays closed, in words


EACH = Opening()


@contextmanager
def opened(rig: RigFile, bench: Bench, told: Opening = EACH) -> Iterator[Mapping[str, Any]]:
    """Open every port of a rig that has been checked, top to bottom; close them in reverse, always.

    A bus that the item does not speak stays closed, and what stands on a port that did not open is not tried. Raises RigError, naming
    the port, when one does not open and nobody is told of that.
    """
    ports: dict[str, Any] = {}
    with ExitStack() as stack:
        for name, one in rig.recipes.items():
            if stays_closed(name, one, bench.item):
                told.left(name, "the item does not speak a bus of this name")
            elif why := told.stays(one):
                told.left(name, why)
            else:
                try:
                    missing = [o for o in named_in(one) if o in rig.recipes and o not in ports]
                    if missing:
                        raise RigError(f"port {name}: it stands on port {missing[0]!r}, which is not open")
                    ports[name] = entered(stack, name, one, replace(bench, ports=ports, loops=LOOPS))
                    told.opened(name, ports[name])
                except Fault as error:
                    if told.failed is None:
                        raise
                    told.failed(name, error)
        yield ports


def named_in(one: Recipe) -> list[str]:
    """The ports that a recipe stands on, as far as it says so."""
    found = [getattr(one, field) for field in (one.stands_on() if hasattr(one, "stands_on") else ())]
    return [other for other in found if other is not None]


def entered(stack: ExitStack, name: str, one: Recipe, bench: Bench) -> Any:
    """Open one port. Raises RigError, naming it, when it does not open; DeviceError when that is the device's fault."""
    try:
        return stack.enter_context(one.open(name, bench))
    except KeyError as error:  # of a recipe that does not say what it stands on
        if error.args and error.args[0] not in bench.ports:
            raise RigError(f"port {name}: it stands on port {error.args[0]!r}, which is not open") from error
        raise
    except OSError as error:
        raise RigError(f"port {name} did not open: {error}") from error
    except RigError as error:
        raise RigError(f"port {name}: {str(error).removeprefix(f'port {name}: ')}") from error

"""The nouns of a bench: its ports, its instruments and their calibration, its golden item, who lends it."""

from collections.abc import Mapping
from typing import Literal

from harness.model import Chip, Instrument, noun


@noun
class Golden:
    """An item that is known to pass: the folder of its submission, from the rig file's; what of it is checked around each run."""

    submission: str
    check: tuple[str, ...]  # requirements, or how their names begin
    bracket: bool = True  # check before and after every run; else only `shipei rig qualify` does


@noun
class Rig:
    """An ordered list of named ports, each opened by a recipe.

    `exclusive`: one run at a time (a bench's default). `lease` names the recipe that reserves it from a lab engine. `wired` are
    pairs of bus ports that are joined by a cable.
    """

    name: str
    kind: Literal["simulated", "virtual", "bench", "replay"]
    chip: Chip
    ports: Mapping[str, Mapping[str, object]]
    clock_ms: float  # the uncertainty of one stamp that this rig promises
    realtime: bool = True
    exclusive: bool | None = None
    instruments: tuple[Instrument, ...] = ()
    golden: Golden | None = None
    lease: Mapping[str, object] | None = None
    wired: tuple[tuple[str, str], ...] = ()

    @property
    def one_at_a_time(self) -> bool:
        return self.kind == "bench" if self.exclusive is None else self.exclusive

"""Load what a vendor handed in, and say everything that is wrong with it at once."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import documents, record
from harness.can import decode, vss
from harness.can.e2e import HEADER_BYTES, LONGEST_RING, PERIOD, WIDE_IDS
from harness.documents import Document, meant
from harness.errors import BadInput, shown
from harness.inputs import container_archive, declared_diagnostics, declared_flashing
from harness.inputs.suite import features as known_features
from harness.model import Artefact, BusInterface, E2e, Interface, Item, Requirement, Submission, Value
from harness.paths import REGISTRY, sha256

HUGE = 1e15  # no figure of ours is as large
LONG_MS = 2000.0  # whatever the cycle, a supervision may take so long
MOST_CYCLES = 20  # of a message that is lost, until a device that supervises it has to show that
OURS = {record.RIG, record.SUBMISSION}  # in the folder of a record that inputs are kept in
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
BLOCK = 1 << 20
MAX_FILES = 200
MAX_TOTAL_BYTES = 2_000_000_000
MAX_PACKAGE_BYTES = 16 << 20


def locate(given: Path) -> Path:
    """The submission.yaml that a person means by a file or a folder."""
    return given / "submission.yaml" if given.is_dir() else given


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A submission that has been checked, with what its files hold; `folder` is where they lie: its own, or a private copy.

    `digests` are those of the bytes that were read, and copied: "submission", "artefact:ROLE", "dbc:BUS", "vss:BUS", "package:KIND".
    """

    file: Path
    folder: Path
    document: Document
    submission: Submission
    codecs: Mapping[str, decode.Codec]
    maps: Mapping[str, Mapping[str, vss.Mapped]]
    digests: Mapping[str, str]

    @property
    def item(self) -> Item:
        """The item under test, its files by role."""
        files: dict[str, str] = {a.role: str(self.folder / a.path) for a in self.submission.artefacts}
        return Item(files=files, interface=self.submission.interface)

    @property
    def forms(self) -> set[str]:
        """What a rig must be able to run."""
        return {form_of(a) for a in self.submission.artefacts}


def load(given: Path, *, artefacts: bool = True) -> Submission:
    """Read and check a submission; raise BadInput with every mistake."""
    return read(given, artefacts=artefacts).submission


def read(given: Path, *, artefacts: bool = True, into: Path | None = None) -> Submitted:
    """Read and check a submission with everything that it names; raise BadInput with every mistake.

    All of that must lie in its own folder and carry the digest that it declares. A record keeps a submission without its artefacts: then
    `artefacts` is false. `into` is a new folder for a private copy of each file; what is checked is then the copy.
    """
    file = locate(given)
    if not file.resolve().is_relative_to(file.parent.resolve()):
        raise BadInput(f"{file}: is a link that leads outside the submission's folder")
    document = documents.read(file)
    loaded = documents.load(Submission, document)
    reading = Reading(document, file.parent, into)
    if loaded is not None:
        reading.submission(loaded, artefacts)
    else:
        check_registry(document, document.data)
    if document.mistakes or loaded is None:
        raise BadInput(sorted(document.mistakes, key=line_of))
    if into is not None and copied(file, into / "submission.yaml") != document.sha256:
        raise BadInput(f"{file}: it changed while it was read")
    return Submitted(
        file=file,
        folder=into or file.parent,
        document=document,
        submission=loaded,
        codecs=reading.codecs,
        maps=reading.maps,
        digests={"submission": document.sha256, **reading.digests},
    )


def line_of(mistake: str) -> tuple[str, int]:
    parts = mistake.split(":")
    return parts[0], int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


class Reading:
    """Reads a submission's files, each once; what is wrong with them is noted in the document."""

    def __init__(self, document: Document, folder: Path, into: Path | None) -> None:
        self.document, self.origin, self.folder = document, folder, into or folder
        self.codecs: dict[str, decode.Codec] = {}
        self.maps: dict[str, Mapping[str, vss.Mapped]] = {}
        self.digests: dict[str, str] = {}

    def taken(self, where: documents.Path_, named: str, what: str) -> Path | None:
        """A file that the submission names, its digest kept; its private copy, where there is one. None, with the mistake noted, if it cannot be."""
        file = inside(self.document, where, self.origin, named)
        if file is None:
            return None
        if os.path.normpath(named).split("/")[0].casefold() in OURS:
            self.document.mistake(where, f"{named}: a record keeps a file of its own by this name; call it otherwise")
            return None
        target = self.folder / named
        try:
            if target != file:
                target.parent.mkdir(parents=True, exist_ok=True)
            self.digests[what] = sha256(file) if target == file else copied(file, target)
        except OSError as error:
            self.document.mistake(where, f"{named} cannot be read: {error.strerror}")
            return None
        return target

    def submission(self, said: Submission, artefacts: bool) -> None:
        document = self.document
        check_registry(document, document.data)
        check_names(document, said)
        if not PLAIN.fullmatch(said.profile) or said.profile.endswith((".yaml", ".yml")):
            text = f"{said.profile!r} is no name: a profile is the lab's, by its name; a person names a file with --profile"
            document.mistake(("profile",), text)
        check_features(document, said)
        for n, artefact in enumerate(said.artefacts if artefacts else ()):
            self.artefact(n, artefact)
        check_artefacts(document, said)
        if not said.interface.buses and (said.interface.console is None or not is_image(said)):
            document.mistake(
                ("interface", "buses"), "at least one bus is expected; a complete image may have a console alone"
            )
        mapped: dict[str, str] = {}
        for name, bus in said.interface.buses.items():
            self.bus(name, bus, mapped)
        check_paths(document, said.interface, mapped)
        declared_diagnostics.check(document, said)
        flashing = said.interface.flashing
        for n, package in enumerate(flashing.packages if flashing else ()):
            where = (*declared_flashing.HERE, "packages", n, "path")
            file = self.taken(where, package.path, f"package:{package.kind}")
            if file is not None and not 0 < file.stat().st_size <= MAX_PACKAGE_BYTES:
                document.mistake(where, f"{package.path} should have 1 to {MAX_PACKAGE_BYTES} bytes")
        declared_flashing.check(document, said)

    def artefact(self, n: int, artefact: Artefact) -> None:
        what = f"artefact:{artefact.role}"
        file = self.taken(("artefacts", n, "path"), artefact.path, what)
        if file is None:
            return
        if self.digests[what] != artefact.sha256.lower():
            text = f"{artefact.path} has the digest {self.digests[what]}, not {artefact.sha256}"
            self.document.mistake(("artefacts", n, "sha256"), text)
        elif artefact.form == "container":
            for wrong in container_archive.check(file)[1]:
                self.document.mistake(("artefacts", n, "path"), f"{artefact.path}: {wrong}")

    def bus(self, name: str, bus: BusInterface, mapped: dict[str, str]) -> None:
        """A bus with its matrix and its map; `mapped`: the paths that are on other buses."""
        document = self.document
        here: documents.Path_ = ("interface", "buses", name)
        check_rates(document, here, name, bus)
        file = self.taken((*here, "dbc"), bus.dbc, f"dbc:{name}")
        if file is None:
            return
        try:
            codec = self.codecs[name] = decode.Codec(decode.load(file, bus.dbc), bus.dbc)
        except BadInput as error:
            document.mistakes.extend(error.mistakes)
            return
        check_against_matrix(document, here, bus, codec)
        vss_file = self.taken((*here, "vss"), bus.vss, f"vss:{name}") if bus.vss is not None else None
        if vss_file is None or bus.vss is None:
            self.maps[name] = {}
            return
        mistakes, self.maps[name] = vss.check(vss_file, bus.vss, codec)
        document.mistakes.extend(mistakes)
        for what in wrong_senders(self.maps[name], codec, bus.node):
            document.mistake((*here, "vss"), f"{bus.vss}: {what}")
        for path in self.maps[name]:
            if path in mapped:
                document.mistakes.append(f"{bus.vss}:1: {path} is already mapped on bus {mapped[path]}")
            mapped[path] = name


def copied(file: Path, target: Path) -> str:
    """Copy a file; return the digest of what was copied."""
    digest = hashlib.sha256()
    with file.open("rb") as source, target.open("wb") as sink:
        for block in iter(lambda: source.read(BLOCK), b""):
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()


def is_image(submission: Submission) -> bool:
    """Whether it is a complete image, rather than an application."""
    return any(form_of(a) == "image" for a in submission.artefacts)


def form_of(artefact: Artefact) -> str:
    """What a rig must be able to run: a program, a container, or a complete image."""
    return artefact.form if artefact.role == "application" else "image"


def check_artefacts(document: Document, submission: Submission) -> None:
    """One application, or the files of one complete image, each role once."""
    roles = [a.role for a in submission.artefacts]
    for n, artefact in enumerate(submission.artefacts):
        if artefact.role in roles[:n]:
            document.mistake(("artefacts", n, "role"), f"there are two artefacts with the role {artefact.role}")
        if artefact.form == "container" and artefact.role != "application":
            document.mistake(("artefacts", n, "form"), f"a {artefact.role} is no container image")
    alone = [r for r in roles if r in ("application", "firmware")]
    if not roles:
        document.mistake(("artefacts",), "no artefact: one application is expected, or the files of a complete image")
    elif alone and len(set(roles)) > 1:
        what = f"an artefact with the role {alone[0]} stands alone; a complete image is a bootloader, a disk, or both"
        document.mistake(("artefacts",), what)


def check_names(document: Document, submission: Submission) -> None:
    """Names and versions end up in folder names, tables and pages, so they are plain."""
    combination = submission.combination
    parts: list[tuple[documents.Path_, str]] = [(("chip", "revision"), combination.chip.revision)]
    for where, software in (("os", combination.os), ("application", combination.application)):
        parts += [((where, "name"), software.name), ((where, "version"), software.version)]
    for n, service in enumerate(combination.services):
        parts += [(("services", n, "name"), service.name), (("services", n, "version"), service.version)]
    for place, text in parts:
        if not PLAIN.fullmatch(text):
            what = f"{text!r} should be 1 to 64 letters, digits or . _ + - and start with a letter or digit"
            document.mistake(("combination", *place), what)


def check_registry(document: Document, data: object) -> None:
    """Vendor, chip and operating system must be registered, in their one spelling."""
    for registry, path in (
        ("vendors", ("vendor",)),
        ("chips", ("combination", "chip", "name")),
        ("systems", ("combination", "os", "name")),
    ):
        found: object = data
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, str):
            for what in unregistered(registry, found):
                document.mistake(path, what)


def unregistered(registry: str, name: str) -> Iterator[str]:
    known: Mapping[str, Mapping[str, object]] = documents.read(REGISTRY / f"{registry}.yaml").data
    if name in known:
        return
    spelled = {str(alias).lower(): key for key, entry in known.items() for alias in [*entry.get("aliases", []), key]}  # type: ignore[misc]
    if name.lower() in spelled:
        yield f"{registry[:-1]} {name!r} is spelled {spelled[name.lower()]!r} in the registry"
    else:
        yield f"{registry[:-1]} {name!r} is not registered{meant(name, known)}; see registry/{registry}.yaml"


def check_features(document: Document, submission: Submission) -> None:
    known = known_features()
    console = submission.interface.console
    if "boot" in submission.features and (console is None or not console.boot):
        document.mistake(("features", "boot"), "boot is shown by its stages: interface.console.boot names none")
    for feature, settings in submission.features.items():
        if feature not in known:
            document.mistake(("features", feature), f"unknown feature {feature!r}{meant(feature, known)}")
            continue
        for key, value in settings.items():
            for what in wrong_setting(known[feature], feature, key, value):
                document.mistake(("features", feature, key), what)


def wrong_senders(maps: Mapping[str, vss.Mapped], codec: decode.Codec, node: str) -> Iterator[str]:
    """Of a pair of paths, Request is asked of the device and State is shown by it: not the other way round."""
    for path, mapped in maps.items():
        branch, _, role = path.rpartition(".")
        if not {f"{branch}.Request", f"{branch}.State"} <= maps.keys():
            continue
        own = node in codec.messages[mapped.message].senders
        if role == "Request" and own:
            yield f"{path} is asked of the device, and {mapped.message} with {mapped.signal} is sent by it"
        elif role == "State" and not own:
            yield f"{path} is shown by the device, and {mapped.message} with {mapped.signal} is not sent by {node}"


def wrong_setting(requirements: Sequence[Requirement], feature: str, key: str, value: object) -> Iterator[str]:
    """What is wrong with a setting of a feature: whether a submission may set it at all, and its range in each requirement that it is in."""
    settable = sorted({name for one in requirements for name in one.settable})
    if key not in settable:
        if any(key in one.parameters for one in requirements):
            yield f"{key} of {feature} is not a submission's to set; settable: {', '.join(settable) or 'nothing'}"
        else:
            yield f"unknown setting {key!r} of {feature}{meant(key, settable)}"
    elif isinstance(value, bool) or not isinstance(value, int | float) or not -HUGE < value < HUGE:
        yield f"{key} should be a number, not {shown(value)}"
    else:
        for one in requirements:
            low, high = one.settable.get(key, (value, value))
            if not low <= value <= high:
                yield f"{key} is {value:g}; {one.id} allows {low:g} to {high:g} ({one.source.document} {one.source.clause})"


def inside(document: Document, where: documents.Path_, folder: Path, named: str) -> Path | None:
    """The file of that name in the folder; None, with the mistake noted, if it is not there or leads outside."""
    pure = PurePosixPath(named)
    if pure.is_absolute() or ".." in pure.parts or "\\" in named:
        document.mistake(where, f"{named!r} leads outside the submission's folder")
        return None
    file = folder / named
    if not file.resolve().is_relative_to(folder.resolve()):
        document.mistake(where, f"{named!r} is a link that leads outside the submission's folder")
    elif not file.is_file():
        document.mistake(where, f"no such file: {named}{documents.near_file(file)}")
    elif file.stat().st_size > MAX_TOTAL_BYTES:
        document.mistake(where, f"{named} is larger than {MAX_TOTAL_BYTES} bytes")
    else:
        return file
    return None


def check_rates(document: Document, here: documents.Path_, name: str, bus: BusInterface) -> None:
    if name in ("console", "power"):
        document.mistake(here, f"a bus cannot be called {name!r}")
    if bus.bitrate not in range(10_000, 1_000_001):
        document.mistake((*here, "bitrate"), f"bitrate should be 10000 to 1000000 bit/s, not {bus.bitrate}")
    if bus.fd and bus.data_bitrate is None:
        document.mistake((*here, "fd"), "a CAN FD bus needs data_bitrate")


def check_against_matrix(document: Document, here: documents.Path_, bus: BusInterface, codec: decode.Codec) -> None:
    """What is said of a bus is in its DBC."""
    nodes = sorted({s for m in codec.database.messages for s in m.senders} | {n.name for n in codec.database.nodes})
    if bus.node not in nodes:
        document.mistake((*here, "node"), f"{bus.dbc} has no node {bus.node!r}{meant(bus.node, nodes)}")
    for n, rule in enumerate(bus.e2e):
        check_e2e(document, (*here, "e2e", n), rule, codec, bus)
    for n, supervision in enumerate(bus.supervised):
        at: documents.Path_ = (*here, "supervised", n)
        if check_message(document, (*at, "message"), supervision.message, codec):
            cycle_ms = codec.messages[supervision.message].cycle_time
            most_ms = max(LONG_MS, MOST_CYCLES * (cycle_ms or 0))
            if cycle_ms and supervision.timeout_ms > most_ms:
                text = f"{supervision.timeout_ms:g} ms for a message that comes every {cycle_ms} ms: at most {most_ms:g} ms are taken"
                document.mistake((*at, "timeout_ms"), text)
        check_signal_value(document, at, supervision.signal, supervision.value, codec)
    check_spoken(document, here, bus, codec)


def check_message(document: Document, where: documents.Path_, name: str, codec: decode.Codec) -> bool:
    if name not in codec.messages:
        document.mistake(where, f"{codec.name} has no message {name!r}{meant(name, codec.messages)}")
    return name in codec.messages


def check_e2e(document: Document, where: documents.Path_, rule: E2e, codec: decode.Codec, bus: BusInterface) -> None:
    if not check_message(document, (*where, "message"), rule.message, codec):
        return
    if codec.messages[rule.message].length < HEADER_BYTES[rule.profile]:
        document.mistake(where, f"{rule.message} is too short for profile {rule.profile}")
    if rule.profile == "P02" and (len(rule.data_ids) != 16 or not all(0 <= i < 256 for i in rule.data_ids)):
        document.mistake(where, "profile P02 needs data_ids, sixteen numbers from 0 to 255")
    if PERIOD[rule.profile] > LONGEST_RING and bus.node not in codec.messages[rule.message].senders:
        text = f"the bench sends {rule.message}, and profile {rule.profile} is only checked where the device sends it"
        document.mistake((*where, "profile"), text)
    most = 1 << 32 if rule.profile in WIDE_IDS else 1 << 16
    if rule.profile != "P02" and not 0 <= (rule.data_id if rule.data_id is not None else -1) < most:
        document.mistake(where, f"profile {rule.profile} needs data_id, a number from 0 to {most - 1}")
    if not 1 <= rule.max_delta_counter < PERIOD[rule.profile] - 1:
        text = f"max_delta_counter should be 1 to {PERIOD[rule.profile] - 2}, not {rule.max_delta_counter}"
        document.mistake((*where, "max_delta_counter"), text)


def check_spoken(document: Document, here: documents.Path_, bus: BusInterface, codec: decode.Codec) -> None:
    """Messages on events and for network management must be the device's own."""
    own = {m.name for m in codec.messages.values() if bus.node in m.senders}
    for n, event in enumerate(bus.events):
        at: documents.Path_ = (*here, "events", n, "message")
        if check_message(document, at, event.message, codec) and event.message not in own:
            document.mistake(at, f"{event.message} is not sent by {bus.node}")
    if bus.nm is None:
        return
    if check_message(document, (*here, "nm", "message"), bus.nm.message, codec):
        identifier = codec.messages[bus.nm.message].frame_id
        if bus.nm.message not in own:
            document.mistake((*here, "nm", "message"), f"{bus.nm.message} is not sent by {bus.node}")
        if not bus.nm.first <= identifier <= bus.nm.last or bus.nm.first == bus.nm.last:
            text = f"identifiers from {bus.nm.first:#x} to {bus.nm.last:#x} should hold {identifier:#x} of {bus.nm.message} and others"
            document.mistake((*here, "nm", "first"), text)
    for key in ("repeat_ms", "timeout_ms", "wait_bus_sleep_ms"):
        if not getattr(bus.nm, key) > 0:
            document.mistake((*here, "nm", key), f"{key} should be above 0")


def check_paths(document: Document, interface: Interface, mapped: Mapping[str, str]) -> None:
    """What the bench is to set is in a map, where the maps could be read."""
    said: list[tuple[documents.Path_, Mapping[str, Value]]] = []
    for name, bus in interface.buses.items():
        here = ("interface", "buses", name)
        said += [((*here, "events", n, "trigger"), event.trigger) for n, event in enumerate(bus.events)]
        said += [((*here, "nm", "release"), bus.nm.release)] if bus.nm else []
    flashing = interface.flashing
    if flashing is not None:
        said += [((*declared_flashing.HERE, "conditions", n), one) for n, one in enumerate(flashing.conditions)]
        for key in ("agree", "decline") if flashing.consent else ():
            said.append(((*declared_flashing.HERE, "consent", key), getattr(flashing.consent, key)))
    for where, values in said if mapped else ():
        for path in values:
            if path not in mapped:
                document.mistake((*where, path), f"no map has {path}{meant(path, mapped)}")


def check_signal_value(
    document: Document, where: documents.Path_, signal: str, value: str, codec: decode.Codec
) -> None:
    owners = [e for es in codec.extractions.values() for e in es if e.name == signal]
    if not owners:
        names = {e.name for es in codec.extractions.values() for e in es}
        document.mistake((*where, "signal"), f"{codec.name} has no signal {signal!r}{meant(signal, names)}")
    elif value not in owners[0].choices.values():
        labels = owners[0].choices.values()
        document.mistake((*where, "value"), f"{signal} has no value {value!r}{meant(value, labels)}")

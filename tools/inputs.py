"""What a user gave to ``oathcam verify``: directories of evidence, films, fragments, manifests, checkpoints, in any mixture.

Responsible for recognising each path by what it holds, and for reading films in pieces. Refuses to judge anything. Needs no camera
library and no network; PyAV is loaded only for a film that another program has packed anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firmware.errors import FormatError, UnavailableError, UsageError
from firmware.evidence import jcs
from firmware.evidence.manifest import fragment_name
from firmware.evidence.verify_film import Papers, Part
from firmware.media.nal import split_annexb, split_length_prefixed
from tools.sources import DirectorySource, find_sources, is_device

MAX_PAPER_BYTES = 64 * 1024 * 1024
MAX_BOX_BYTES = 256 * 1024 * 1024
_HEADER_BYTES = 8
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # C2PA 2.1, A.5: the box that holds a manifest
_IN_FRAGMENT = (b"styp", b"prft", b"moof", b"mdat")
_GIVE = "Give a card, a store, a recording's directory, an MP4, fragments, a manifest or a checkpoint."


class RecordingDirectory(DirectorySource):
    """One recording's directory wherever it lies, under the name that its own papers give it; the ledger where a card has it."""

    def __init__(self, directory: Path, recording: str) -> None:
        super().__init__(directory.parent.parent if directory.parent.name == "vault" else directory, recording)
        self._directory = directory

    def _path(self, name: str) -> Path:
        inside = name.removeprefix(f"vault/{self.only}")
        return self._directory / inside.lstrip("/") if inside != name else self.root / name

    def names(self, directory: str) -> Sequence[str]:
        return [self.only] if directory == "vault" else self.list_directory(self._path(directory))

    def read(self, name: str) -> bytes:
        return self.read_path(self._path(name))


@dataclass(frozen=True, slots=True)
class Target:
    """One source to verify; with ``fragment`` only that fragment of its one recording."""

    source: DirectorySource
    fragment: int | None = None


@dataclass(frozen=True, slots=True)
class Film:
    """An MP4, or fragments that were decrypted by hand, in order."""

    name: str
    files: tuple[Path, ...]

    def parts(self) -> Iterator[Part]:
        """Piece by piece. UnavailableError when a file cannot be read."""
        for path in self.files:
            yield from mp4_parts(path)


@dataclass(slots=True)
class Inputs:
    """Everything given, by kind."""

    targets: list[Target] = field(default_factory=list)
    films: list[Film] = field(default_factory=list)
    papers: list[Papers] = field(default_factory=list)
    given_papers: list[Papers] = field(default_factory=list)
    """Those of ``papers`` that were given by name."""
    checkpoints: dict[str, bytes] = field(default_factory=dict)
    sealed: list[Path] = field(default_factory=list)
    """Sealed objects without the papers that name them."""


def find_inputs(paths: Sequence[Path]) -> Inputs:
    """Sort what was given. UsageError for a path that is nothing of the kind."""
    found = Inputs()
    loose: dict[Path, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            known = {(one.source.root.resolve(), one.source.only) for one in found.targets}
            sources = directory_sources(path)
            found.targets += [Target(source) for source in sources if (source.root.resolve(), source.only) not in known]
        elif not path.is_file():
            raise UsageError(f"{str(path)!r} is not there", remedy=_GIVE)
        elif path.name.endswith(".p7m"):
            _sealed_file(path, found)
        elif path.suffix == ".m4s":
            loose.setdefault(path.parent, []).append(path)
        elif path.name.endswith("manifest.json"):
            found.given_papers.append(_papers(path))
            found.papers.append(found.given_papers[-1])
        else:
            _other_file(path, found)
    for directory, fragments in loose.items():
        found.films.append(_fragments(directory, sorted(fragments), found))
    if found.films:
        found.papers += _papers_nearby(found)
    return found


def directory_sources(path: Path) -> list[DirectorySource]:
    """As ``find_sources``, and a recording's directory that was taken out of its vault."""
    if is_device(path):
        return [DirectorySource(path)]
    recording = _recording_in(path)
    return [RecordingDirectory(path.resolve(), recording)] if recording else find_sources(path)


def _recording_in(path: Path) -> str:
    """The id of a recording: its directory's name in a vault; else what its papers say, which is held against their signatures."""
    for name in ("manifest.json", "begin.json"):
        if (path / name).is_file():
            resolved = path.resolve()
            if resolved.parent.name == "vault":
                return resolved.name
            try:
                value = jcs.parse(DirectorySource.read_path(path / name), name)
            except (FormatError, UnavailableError):
                return resolved.name
            recording = value.get("recording") if isinstance(value, dict) else None
            return recording if isinstance(recording, str) and recording.replace("-", "").isalnum() else resolved.name
    return ""


def _sealed_file(path: Path, found: Inputs) -> None:
    recording, number = _recording_in(path.parent), path.name[:6]
    if recording and number.isascii() and number.isdigit() and path.name == fragment_name(int(number)):
        found.targets.append(Target(RecordingDirectory(path.parent.resolve(), recording), int(number)))
    else:
        found.sealed.append(path)


def _other_file(path: Path, found: Inputs) -> None:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"oathcam/") and len(head) < 4096:
        found.checkpoints[str(path)] = head
    elif head[4:8] in (b"ftyp", b"styp"):
        found.films.append(Film(path.name, (path,)))
    else:
        raise UsageError(f"{str(path)!r} is nothing that can be verified", remedy=_GIVE)


def _fragments(directory: Path, fragments: list[Path], found: Inputs) -> Film:
    """Fragments with their init segment: beside them, or given as a file of its own."""
    alone = [film for film in found.films if film.files[0].name.startswith("init")]
    init = directory / "init.mp4"
    if init.is_file() or alone:
        first = init if init.is_file() else alone[0].files[0]
        found.films[:] = [film for film in found.films if film.files != (first,)]
        return Film(_name_of(fragments), (first, *fragments))
    return Film(_name_of(fragments), tuple(fragments))


def _name_of(fragments: list[Path]) -> str:
    return fragments[0].name if len(fragments) == 1 else f"{fragments[0].name} to {fragments[-1].name}"


def _papers(path: Path) -> Papers:
    signature = path.with_name(path.name + ".p7s")
    try:
        return Papers(str(path), _read(path), _read(signature))
    except OSError as error:
        raise UsageError(f"cannot read {error.filename!r}: {error.strerror}", remedy=f"Put {signature.name} beside {path.name}.") from None


def _papers_nearby(found: Inputs) -> list[Papers]:
    """Manifests beside a film, and those of every source that was given with it."""
    papers = []
    for film in found.films:
        directory = film.files[0].parent
        for path in sorted(directory.glob("*manifest.json")):
            if path.with_name(path.name + ".p7s").is_file():
                papers.append(_papers(path))
    for target in found.targets:
        for recording in target.source.names("vault"):
            base = f"vault/{recording}/manifest.json"
            try:
                papers.append(Papers(base, target.source.read(base), target.source.read(f"{base}.p7s")))
            except UnavailableError:
                continue
    return papers


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PAPER_BYTES)


# --- films


def mp4_parts(path: Path) -> Iterator[Part]:
    """The init segment and the fragments of an MP4 as ``oathcam open`` writes it, one at a time; the pictures of any other."""
    try:
        if not _is_fragmented(path):
            yield from _packed_pictures(path)
            return
        with path.open("rb") as file:
            pending: list[bytes] = []
            number = 0
            for kind, data in _top_boxes(file.fileno()):
                pending.append(data)
                if kind == b"moov":
                    yield Part("init", f"{path.name} (init)", b"".join(pending))
                    pending = []
                elif kind == b"mdat":
                    yield Part("fragment", path.name if path.suffix == ".m4s" else f"{path.name} #{number}", b"".join(pending))
                    pending, number = [], number + 1
                elif kind not in (b"ftyp", *_IN_FRAGMENT):
                    pending.pop()
                    name = f"box {kind.decode('latin-1')!r} of {len(data)} bytes in {path.name}"
                    yield Part(_kind_of(kind, data), name, data if kind == b"sidx" else b"")
            if pending:
                yield Part("fragment", f"{path.name} #{number} (cut off)", b"".join(pending))
    except OSError as error:
        raise UnavailableError(f"cannot read {str(path)!r}: {error.strerror}") from None


def _kind_of(kind: bytes, data: bytes) -> str:
    """What a box is that belongs to no init segment and to no fragment."""
    if int.from_bytes(data[:4], "big") != len(data):
        return "other"
    if kind == b"sidx":
        return "index"
    if kind == b"free" and not any(data[_HEADER_BYTES:]):
        return "padding"
    return "c2pa" if kind == b"uuid" and data[_HEADER_BYTES:].startswith(_C2PA) else "other"


def _is_fragmented(path: Path) -> bool:
    """Whether the samples lie in fragments: a moof comes before any mdat."""
    with path.open("rb") as file:
        for kind, _ in _top_boxes(file.fileno(), skip=True):
            if kind in (b"moof", b"mdat"):
                return kind == b"moof"
    return True


def _top_boxes(descriptor: int, *, skip: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """(type, whole box) of each box at the top; what is cut off comes last with what there is of it."""
    position, end = 0, os.fstat(descriptor).st_size
    while position < end:
        head = os.pread(descriptor, 16, position)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        length = end - position if length == 0 or length < _HEADER_BYTES else length
        data = b"" if skip else os.pread(descriptor, min(length, MAX_BOX_BYTES, end - position), position)
        yield head[4:8], data
        position += length


def _packed_pictures(path: Path) -> Iterator[Part]:
    """What is left of the signed stream in a container that another program wrote: its pictures, in decoding order."""
    import av  # here: only such a film needs it

    yield Part("container", f"the container of {path.name} was written by another program")
    try:
        with av.open(str(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                data = bytes(packet)
                if data:
                    yield Part("pictures", path.name, nals=tuple(_nals(data)))
    except (av.FFmpegError, IndexError) as error:
        raise UnavailableError(f"{str(path)!r} is no film that can be read: {error}") from None


def _nals(data: bytes) -> Sequence[bytes]:
    try:
        return split_annexb(data) if data.startswith((b"\0\0\0\1", b"\0\0\1")) else split_length_prefixed(data)
    except FormatError:
        return ()

"""A dock takes a camera's ledger only as a continuation of what it had; all else is a FormatError, or a refusal with an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from firmware.custody.checkpoint import Checkpoint, parse_note, read_log, verify_cosignature, verify_note
from firmware.custody.entries import KINDS
from firmware.custody.merkle import consistency_proof, leaf_hash, root_of
from firmware.dock.protocol import LedgerAnswer, LedgerExtension, Refusal
from firmware.errors import FormatError
from firmware.evidence.primitives import ed25519_public
from tests.unit.helpers_evidence import NOW_NS, ORIGIN, SERIAL, agency
from tests.vectors.build import people
from tests.vectors.build.ledger import FIRST, LEAVES, SECOND, entry, line, log
from tools.dock.database import Database
from tools.dock.layout import Layout, Rejected
from tools.dock.ledger import LedgerKeeper, Witness

CAMERA = agency().camera.key.public_key()
FORK = [*FIRST[:2], entry(2, "dock").to_bytes()]
WITNESS = Witness(people.DOCK_NAME, people.DOCK_SEED)
MEMORY = Path("/dev/shm")


def lines(leaves: Sequence[bytes]) -> bytes:
    return b"".join(one + b"\n" for one in leaves)


def claim(seen: Sequence[bytes], added: bytes) -> LedgerExtension:
    """What a camera sends that signs whatever it likes: ``added`` behind the leaves ``seen``, hashed, proven and signed as it should be."""
    leaves = [*seen, *(one for one in added.split(b"\n")[:-1] if not one.startswith(b"= "))]
    proof = consistency_proof([leaf_hash(one) for one in leaves], len(seen), len(leaves))
    end, at = line(leaves), len(lines(seen) + line([*seen])) if seen else 0
    return LedgerExtension(len(seen), at, added + end, end[:-1], proof, people.camera_pem())


class _Undone(Exception):
    """Ends a transaction that is not to last."""


class Station:
    """A dock that has seen some leaves, and sees every extension as the first one after them."""

    def __init__(self, seen: Sequence[bytes]) -> None:
        self.seen = [*seen]
        self._log = b""
        self._database = Database(Path(":memory:"), lambda: NOW_NS)
        if seen:
            with self._store() as layout:
                self._keeper(layout).accept(SERIAL, claim([], lines(seen)))
                self._log = layout.log(SERIAL).read_bytes()
        self._known = self._database.ledger(SERIAL)

    def judge(self, extension: LedgerExtension) -> None:
        with self._store() as layout, suppress(_Undone), self._database.transaction():
            try:
                self._check_taken(layout, self._keeper(layout).accept(SERIAL, extension))
            except Rejected as refused:
                self._check_refused(layout, refused)
            raise _Undone

    @contextmanager
    def _store(self) -> Iterator[Layout]:
        with TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as directory:
            layout = Layout(Path(directory))
            layout.log(SERIAL).parent.mkdir(parents=True)
            layout.log(SERIAL).write_bytes(self._log)
            yield layout

    def _keeper(self, layout: Layout) -> LedgerKeeper:
        return LedgerKeeper(layout, self._database, tuple(agency().roots), WITNESS, lambda: NOW_NS)

    def _check_taken(self, layout: Layout, answer: LedgerAnswer) -> None:
        mark = answer.mark
        assert LedgerAnswer.from_bytes(answer.to_bytes()) == answer
        assert self._database.ledger(SERIAL).mark == mark
        taken = layout.log(SERIAL).read_bytes()
        assert len(taken) == mark.log_bytes
        assert taken.startswith(self._log)
        state = read_log(taken, ORIGIN, CAMERA, verify_all=True)
        leaves = [one.to_bytes() for one in state.entries]
        assert not state.tail
        assert leaves[: len(self.seen)] == self.seen
        assert (mark.size, mark.root) == (len(leaves), root_of([leaf_hash(one) for one in leaves]).hex())
        note = parse_note(answer.note.encode())
        assert Checkpoint.from_text(note.text) == state.checkpoint
        verify_note(note, ORIGIN, agency().camera.certificate)
        verify_cosignature(note, WITNESS.name, ed25519_public(WITNESS.seed))

    def _check_refused(self, layout: Layout, refused: Rejected) -> None:
        assert (refused.problem.status, refused.problem.kind) == (409, Refusal.LEDGER)
        assert refused.problem.to_bytes()
        assert self._database.alarms(SERIAL) == (refused.problem.detail,)
        assert self._database.ledger(SERIAL) == self._known
        assert layout.log(SERIAL).read_bytes() == self._log


STATIONS = (Station([]), Station(FIRST))
OFFERS = (claim([], lines(LEAVES)), claim(FIRST, lines(SECOND)), claim([], lines(FIRST)), claim(FORK, lines(SECOND)))

SEEDS = (
    *(one.to_bytes() for one in OFFERS),
    lines(LEAVES),
    lines(SECOND),
    log(FIRST, SECOND),
    lines([entry(n, kind).to_bytes() for n, kind in enumerate(KINDS, len(FIRST))]),
)


def target(data: bytes) -> None:
    for station in STATIONS:
        for body in (data, *_signed(data, station.seen)):
            try:
                extension = LedgerExtension.from_bytes(body)
            except FormatError:
                continue
            station.judge(extension)


def _signed(data: bytes, seen: list[bytes]) -> Iterator[bytes]:
    """The bytes as lines of a ledger that the camera's own key signs: behind what was seen, and behind a past that was not."""
    added = data + b"\n" * (data[-1:] not in (b"", b"\n"))
    with suppress(UnicodeDecodeError):
        yield claim(seen, added).to_bytes()
        if seen:
            yield claim(FORK, added).to_bytes()

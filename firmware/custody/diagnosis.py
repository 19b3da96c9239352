"""What was done to a ledger file that does not hold: a name for it, and the leaf at which it shows (BWC-POL-29).

Responsible for telling apart what an expert will be asked: were leaves taken out, put in, doubled, moved or changed, or is this the
ledger of another camera? Only ever called when :func:`firmware.custody.checkpoint.read_log` refused the file, or found nothing
signed in it: it explains a refusal and never lifts one. Refuses to know files and keys' origin.

How: the camera signed a root after every batch. The first signed line that the leaves before it do not hash to bounds the place;
the leaves carry their own numbers, and those that should stand there tell what happened to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.checkpoint import is_signed, split_log
from firmware.custody.entries import LAYER as ENTRY
from firmware.custody.entries import MAX_LEAF_BYTES
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.errors import FormatError
from firmware.evidence import jcs


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``code`` is one of the ``ledger-…`` codes; ``leaf`` the number at which it shows (-1: the file as a whole)."""

    code: str
    leaf: int
    text: str


def diagnose(data: bytes, origin: str, public_key: ec.EllipticCurvePublicKey) -> Diagnosis:
    """Why this file is not a ledger that the camera signed."""
    leaves, marks = split_log(data, origin)
    signed = [mark for mark in marks if is_signed(mark, public_key)]
    if not signed:
        return Diagnosis("ledger-foreign", -1, f"this camera signed none of its {len(marks)} checkpoints: it is the ledger of another")
    tree, good = CompactTree(), 0
    for mark in marks:
        for leaf in leaves[tree.size : mark.leaves]:
            tree.append(leaf_hash(leaf))
        if mark in signed and (mark.checkpoint.size, mark.checkpoint.root) == (mark.leaves, tree.root()):
            good = mark.leaves
        elif mark in signed:
            return _between(leaves[:good], leaves[good : mark.leaves], good, mark.checkpoint.size)
    forged = next((mark for mark in marks if mark not in signed), None)
    if forged is not None and forged.leaves < good:
        return Diagnosis("checkpoint-forged", forged.leaves, f"the checkpoint after leaf {forged.leaves - 1} is not signed by the camera")
    return Diagnosis("ledger-altered", good, f"the leaves from {good} on do not parse")


def _between(before: Sequence[bytes], found: Sequence[bytes], start: int, size: int) -> Diagnosis:
    """Compare the numbers of ``found`` with those that a signed root of ``size`` leaves wants there: ``start`` to ``size`` - 1."""
    numbers = [_number(leaf) for leaf in found]
    wanted = list(range(start, size))
    known = set(before)
    for leaf, number in zip(found, numbers, strict=True):
        if number is None:
            return Diagnosis("leaf-foreign", start, f"a line behind leaf {start - 1} is no leaf of this ledger: {leaf[:60]!r}")
        if leaf in known:
            return Diagnosis("leaf-duplicated", number, f"leaf {number} stands there twice")
        known.add(leaf)
    present = [number for number in numbers if number is not None]
    doubled = sorted({number for number in present if present.count(number) > 1 or number < start})
    missing = sorted(set(wanted) - set(present))
    if missing and not doubled and set(present) <= set(wanted):
        return Diagnosis("leaf-dropped", missing[0], f"{_named(missing)} {'was' if len(missing) == 1 else 'were'} taken out")
    if sorted(present) == wanted and present != wanted:
        at = next(number for number, expected in zip(present, wanted, strict=True) if number != expected)
        return Diagnosis("leaf-reordered", at, f"leaf {at} does not stand in its place")
    if present == wanted:
        return Diagnosis("leaf-altered", start, f"a leaf among {_named(wanted)} is not the one that the camera signed")
    strange = doubled or sorted(set(present) - set(wanted)) or [start]
    return Diagnosis("leaf-foreign", strange[0], f"a leaf with the number {strange[0]} does not belong where it stands")


def _number(leaf: bytes) -> int | None:
    try:
        value: Any = jcs.parse(leaf, ENTRY, MAX_LEAF_BYTES)
    except FormatError:
        return None
    number = value.get("n") if type(value) is dict else None
    return number if type(number) is int else None


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"leaf {numbers[0]}"
    return (
        f"leaves {numbers[0]} to {numbers[-1]}"
        if numbers[-1] - numbers[0] + 1 == len(numbers)
        else f"{len(numbers)} leaves from {numbers[0]} on"
    )

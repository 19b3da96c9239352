"""What a scenario says must be found, held against what was found; and the expectations that a run's findings make. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tools.scenario import Count, Expect
from tools.scenario_run import Found

LENGTH_TOLERANCE_S = 1.5
"""A recording begins and ends with a whole GOP of one second."""
_TELLING: tuple[str, ...] = (
    *(
        "boot",
        "sleep",
        "wake",
        "mark",
        "mute",
        "unmute",
        "drop",
        "unattested",
        "torn",
        "fault",
        "recovered",
        "escalation",
        "clock",
        "power",
    ),
    *("annotation", "critical", "hold", "stealth", "assign", "unassign", "policy"),
    *("dock", "undock", "receipt", "release", "shutdown"),
)
"""Kinds of leaves whose number does not hang on how fast anything was."""


def differences(expect: Expect, found: Found) -> list[str]:
    """One sentence for everything that is not as expected; empty when all is."""
    told = [
        _same("verdict", expect.verdict, found.verdict),
        _same("state at the end", expect.state, found.state),
        _counted("recordings", expect.recordings, found.recordings),
        _counted("marks", expect.marks, found.marks),
        _same("ends", expect.ends, found.ends),
        _same("gaps", expect.gaps, found.gaps),
        _same("answers", expect.answers, found.answers),
        _lengths(expect.lengths, found.lengths),
        *(_counted(f"leaves {kind!r}", count, found.leaves.get(kind, 0)) for kind, count in expect.leaves.items()),
        *(f"finding {code!r}: expected, and not found" for code in expect.findings if code not in found.findings),
    ]
    return [one for one in told if one]


def expectations(found: Found) -> Expect:
    """What a later run of the same scenario must find."""
    return Expect(
        verdict=found.verdict,
        state=found.state,
        recordings=found.recordings,
        ends=found.ends,
        lengths=found.lengths,
        gaps=found.gaps,
        marks=found.marks,
        answers=found.answers or None,
        leaves={kind: found.leaves[kind] for kind in _TELLING if kind in found.leaves},
    )


def _same(what: str, expected: object, got: object) -> str:
    if isinstance(expected, (list, tuple)):
        expected = list(expected)
    return "" if expected is None or expected == got else f"{what}: expected {expected!r}, got {got!r}"


def _counted(what: str, expected: Count | None, got: int) -> str:
    if expected is None:
        return ""
    if isinstance(expected, str):
        least = int(expected.removesuffix("+"))
        return "" if got >= least else f"{what}: expected at least {least}, got {got}"
    return "" if got == expected else f"{what}: expected {expected}, got {got}"


def _lengths(expected: Sequence[float] | None, got: Sequence[float]) -> str:
    if expected is None:
        return ""
    close = len(expected) == len(got) and all(abs(one - other) <= LENGTH_TOLERANCE_S for one, other in zip(expected, got, strict=True))
    return "" if close else f"lengths: expected about {list(expected)!r} s, got {list(got)!r} s"

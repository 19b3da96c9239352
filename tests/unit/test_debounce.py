"""The debouncer: one change per change, at its first touch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hal.debounce import Debouncer

QUIET = 15


def run(changes: list[tuple[int, bool]], end: int = 10_000) -> list[tuple[int, bool]]:
    """What is told of a line that is open, closed at these instants; settled as soon as it is due, reading the line's true level."""
    debouncer = Debouncer(False, QUIET)
    told = []
    level = False
    for at, to in [*changes, (end, changes[-1][1] if changes else False)]:
        while (due := debouncer.due_ns) is not None and due <= at:
            first = debouncer.settle(due, level)
            if first is not None:
                told.append((first, debouncer.level))
        if to is not level:
            level = to
            debouncer.changed(at, to)
    return told


def test_a_chattering_contact_is_one_change_at_its_first_touch() -> None:
    assert run([(100, True), (101, False), (104, True), (300, False), (302, True), (303, False)]) == [(100, True), (300, False)]


def test_a_glitch_is_no_change() -> None:
    assert run([(100, True), (114, False)]) == []
    assert run([(100, True), (115, False)]) == [(100, True), (115, False)]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_what_is_told_alternates_and_ends_at_the_true_level(pauses: list[int]) -> None:
    """However it chatters: no two presses without a release, none lost, none made up, in order of time."""
    at, changes = 0, []
    for index, pause in enumerate(pauses):
        at += pause
        changes.append((at, index % 2 == 0))
    told = run(changes, at + 1000)
    assert [level for _, level in told] == [index % 2 == 0 for index in range(len(told))]
    assert [at for at, _ in told] == sorted(at for at, _ in told)
    assert (told[-1][1] if told else False) == (changes[-1][1] if changes else False)
    quiet = [at for (at, _), (after, _) in zip(changes, [*changes[1:], (at + 1000, False)], strict=False) if after - at >= QUIET]
    assert len(told) <= len(quiet)


def test_a_change_that_was_lost_is_found_by_reading_the_line() -> None:
    """A queue that overflowed told of the press and not of the release."""
    debouncer = Debouncer(False, QUIET)
    debouncer.changed(100, True)
    assert debouncer.settle(115, False) == 100
    assert debouncer.level is True
    assert debouncer.due_ns == 130
    assert debouncer.settle(130, False) == 115
    assert debouncer.level is False
    assert debouncer.due_ns is None


def test_a_line_that_cannot_be_read_is_what_its_edges_say() -> None:
    debouncer = Debouncer(False, QUIET)
    debouncer.changed(100, True)
    assert debouncer.settle(115, None) == 100
    assert debouncer.due_ns is None

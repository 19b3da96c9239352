"""One question to the wearer: asked, stepped through, answered or not (BWC-POL-04, BWC-POL-18, BWC-POL-20).

Responsible for a question from its asking to its one answer, on the instants of its presses alone. Refuses to know who asks, and for
what recording. Nothing waits for an answer: a question is a value beside the state, and every press that is not a step means what it
means without it.

Rules: each tap of the function button steps to the next choice, after the last one to the first again; the camera counts it back.
A pause, or a hold of the function button, takes the choice. A question that was asked and not stepped through within the policy's
time is answered with ``NOT_GIVEN``; one that the wearer opened is then closed without an answer, because nobody had asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from firmware.policy.lists import NOT_GIVEN, Choice, Choices
from firmware.policy.model import Answers, Policy

LEAD_NS = 1_500_000_000
"""From what gave rise to a question to its cue: the cue of a stop or a mute is played out first."""
_MS, _S = 1_000_000, 1_000_000_000


class About(Enum):
    """What is asked; the value stands in the ledger."""

    CATEGORY = "category"
    STOP_REASON = "stop-reason"
    MUTE_REASON = "mute-reason"


@dataclass(frozen=True, slots=True)
class Question:
    """``due_ns`` (boot time): when it is asked, or else settled. ``place``: the choice stepped to; -1: none yet."""

    about: About
    choices: Choices
    due_ns: int
    asked: bool
    by_wearer: bool = False
    place: int = -1

    @property
    def chosen(self) -> Choice | None:
        """The choice that a pause would take."""
        return self.choices[self.place] if self.place >= 0 else None

    @property
    def answer(self) -> str:
        """The code if it ended now; empty when there is nothing to say."""
        if self.chosen is not None:
            return self.chosen.code
        return "" if self.by_wearer else NOT_GIVEN


def choices_for(about: About, policy: Policy) -> Choices:
    """The policy's list; one that is empty is never asked about."""
    match about:
        case About.CATEGORY:
            return policy.categories.choices
        case About.STOP_REASON:
            return policy.reasons.stop
        case About.MUTE_REASON:
            return policy.reasons.mute


def ask(about: About, choices: Choices, now_ns: int) -> Question:
    """The camera asks, in a moment."""
    return Question(about, choices, now_ns + LEAD_NS, asked=False)


def open_by_wearer(about: About, choices: Choices, now_ns: int, rules: Answers) -> Question:
    """The wearer wants to say something: asked at once."""
    return Question(about, choices, now_ns + rules.wait_seconds * _S, asked=True, by_wearer=True)


def tell(question: Question, now_ns: int, rules: Answers) -> Question:
    """Its cue is played now; from here the wearer has the policy's time."""
    return replace(question, asked=True, due_ns=now_ns + rules.wait_seconds * _S)


def step(question: Question, now_ns: int, rules: Answers) -> Question:
    """The next choice; the pause begins anew. A step may come before the question's cue: who knows it need not wait for it."""
    place = (question.place + 1) % len(question.choices)
    return replace(question, place=place, asked=True, due_ns=now_ns + rules.pause_ms * _MS)

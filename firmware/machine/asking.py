"""What the camera asks the wearer, when, and what becomes of the answers (BWC-POL-04, BWC-POL-18, BWC-POL-20, BWC-POL-31).

Responsible for the questions of one run: a stop and a mute ask for a reason and a category if the policy says so, a tap opens the
categories, one question after the other. Refuses to know how a question is stepped through (``choices.py``). Nothing here changes the
state, and no stop, mute or start waits for anything here.

An answer is given once, as one effect; a later one is another. What is still unanswered when the next recording begins, or the camera
halts, is answered with ``NOT_GIVEN``, because from then on an answer would speak of something else.
"""

from __future__ import annotations

from dataclasses import replace

from firmware.machine import choices, holding
from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.actions import Acted
from firmware.machine.choices import About
from firmware.machine.indicators import Counted, CueName
from firmware.machine.model import Model, changed
from firmware.machine.states import Cause, State, TimerName
from firmware.policy.lists import NOT_GIVEN
from firmware.policy.model import MuteMode
from firmware.timebase import Timestamp

# Guards: their names stand in the diagram.


def asking(model: Model, event: ev.FunctionTapped) -> bool:
    """A question is open."""
    return model.question is not None


def stepped(model: Model, event: ev.FunctionHeld) -> bool:
    """A question is open, and a choice was stepped to."""
    return model.question is not None and model.question.chosen is not None


def holds(model: Model, event: ev.FunctionHeld | ev.Elapsed) -> bool:
    """The choice stepped to is the critical category, and the policy wants the camera held."""
    question = model.question
    if question is None or question.about is not About.CATEGORY:
        return False
    return holding.wanted(model, question.answer == model.policy.categories.critical)


def may_categorise(model: Model, event: ev.FunctionTapped) -> bool:
    """A recording was begun in this run, and the policy has categories."""
    return model.recorded and bool(model.policy.categories.choices)


def answer_due(model: Model, event: ev.Elapsed) -> bool:
    """A question is to be asked or settled now."""
    return event.timer is TimerName.ANSWER and model.question is not None and event.at.boottime_ns >= model.question.due_ns


def hold_due(model: Model, event: ev.Elapsed) -> bool:
    """The critical category is to be taken now, and the policy wants the camera held."""
    asked = model.question is not None and model.question.asked
    return asked and answer_due(model, event) and holds(model, event)


# Actions.


def open_categories(model: Model, event: ev.FunctionTapped) -> Acted:
    """The wearer wants to name the recording; the list opens, and nothing is chosen yet."""
    listed = choices.choices_for(About.CATEGORY, model.policy)
    question = choices.open_by_wearer(About.CATEGORY, listed, event.at.boottime_ns, model.policy.answers)
    return replace(model, question=question), (CueName.ASK_CATEGORY,)


def step(model: Model, event: ev.FunctionTapped) -> Acted:
    """To the next choice, which the camera counts back."""
    assert model.question is not None
    question = choices.step(model.question, event.at.boottime_ns, model.policy.answers)
    assert question.chosen is not None
    return replace(model, question=question), (Counted(question.place, question.chosen.label),)


def elapse(model: Model, event: ev.Elapsed) -> Acted:
    """Ask what is to be asked, or take the answer that there is."""
    question = model.question
    assert question is not None
    if question.asked:
        return take(model, event)
    cue = CueName.ASK_CATEGORY if question.about is About.CATEGORY else CueName.ASK_REASON
    return replace(model, question=choices.tell(question, event.at.boottime_ns, model.policy.answers)), (cue,)


def take(model: Model, event: ev.FunctionHeld | ev.Elapsed) -> Acted:
    """The choice stepped to is the answer; without one, none was given."""
    question = model.question
    assert question is not None
    settled, effects = _settle(model, event.at)
    cue = CueName.NOT_ANSWERED if question.chosen is None else CueName.ANSWERED
    return settled, (*effects, cue)


def _settle(model: Model, at: Timestamp) -> Acted:
    """The open question's one answer."""
    question = model.question
    if question is None:
        return model, ()
    model = replace(model, question=None)
    return _annotate(model, question.about, question.answer, at) if question.answer else (model, ())


def _annotate(model: Model, about: About, code: str, at: Timestamp) -> Acted:
    is_category = about is About.CATEGORY
    categorised = model.categorised or (is_category and code != NOT_GIVEN)
    critical = is_category and code == model.policy.categories.critical
    hold = holding.wanted(model, critical)
    model = replace(model, categorised=categorised, on_hold=model.on_hold or hold)
    return model, (do.Annotate(about, code, at, critical, hold),)


# What follows from a change, whatever made it; called by ``transition.follow``.


def follow(old: Model, new: Model, at: Timestamp) -> Acted:
    """Close what a new recording or the end leaves behind, ask what a stop or a mute asks, and let the next question come up."""
    if new.state is not old.state and new.state in (State.RECORDING, State.HALTED):
        new, calls = _close(new, at)
        began = new.state is State.RECORDING
        return replace(new, recorded=new.recorded or began, categorised=new.categorised and not began), calls
    new = changed(new, to_ask=(*new.to_ask, *_asked_by(old, new)))
    return _next(new, at), ()


def _close(model: Model, at: Timestamp) -> Acted:
    waiting = model.to_ask
    model, calls = _settle(replace(model, to_ask=()), at)
    for about in waiting:
        if not _is_idle(model, about):
            model, more = _annotate(model, about, NOT_GIVEN, at)
            calls = (*calls, *more)
    return model, calls


def _asked_by(old: Model, new: Model) -> tuple[About, ...]:
    """What the policy asks about this change."""
    rules, asked = new.policy, tuple[About, ...]()
    stopped = old.state is State.RECORDING and new.state is not State.RECORDING
    lets_go = rules.mute.mode is MuteMode.HOLD  # asked with the finger off the button
    muted = old.muted and (stopped or not new.muted) if lets_go else new.muted and not old.muted
    if muted and rules.reasons.ask_on_mute:
        asked = (About.MUTE_REASON,)
    if stopped and new.ending is Cause.BUTTON:
        asked = (*asked, *((About.STOP_REASON,) if rules.reasons.ask_on_stop else ()))
        asked = (*asked, *((About.CATEGORY,) if rules.categories.ask_on_stop else ()))
    return asked


def _is_idle(model: Model, about: About) -> bool:
    """Nothing to choose from, or chosen already."""
    return not choices.choices_for(about, model.policy) or (about is About.CATEGORY and model.categorised)


def _next(model: Model, at: Timestamp) -> Model:
    while model.question is None and model.to_ask:
        about, *later = model.to_ask
        model = replace(model, to_ask=tuple(later))
        if not _is_idle(model, about):
            question = choices.ask(about, choices.choices_for(about, model.policy), at.boottime_ns)
            model = replace(model, question=question)
    return model


def timer(old: Model, new: Model, at: Timestamp) -> Acted:
    """The open question's timer; called by ``transition.follow``."""
    before, now = (model.question.due_ns if model.question is not None else None for model in (old, new))
    if before == now:
        return new, ()
    return new, (do.CancelTimer(TimerName.ANSWER),) if now is None else (do.SetTimer(TimerName.ANSWER, now),)

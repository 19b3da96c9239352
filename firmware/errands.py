"""What a camera does in a dock besides handing over: it takes in a policy and an order, and is nobody's again if the policy says so.

Responsible for when: only while the camera rests in the dock, with nothing owed and nothing recorded. A policy that was taken in counts
from the next boot on; the recorder ends its run for it, in order, once everything is receipted, and the service manager starts it again.
Refuses to judge what is delivered (``deliveries.py``). Called from the loop only.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

from firmware.custodian import Custodian
from firmware.deliveries import Assigned, AssignmentChanged, PolicyTaken
from firmware.machine.model import Model
from firmware.machine.states import State
from firmware.policy.model import Policy
from firmware.timebase import Timestamp

log = logging.getLogger("oathcamd")

ASK_AGAIN_NS = 300_000_000_000
"""A camera that lies in its dock asks this often: it may be assigned there, hours after it handed over."""
PATIENCE_NS = 60_000_000_000
"""A recording that no dock receipts does not keep a new policy waiting for longer."""
UNASSIGNED = "UNASSIGNED"


def rests(model: Model) -> bool:
    """In the dock, with nothing to record and nothing owed."""
    return model.docked and model.owed is None and model.state in (State.DOCKED, State.FAULT, State.FULL)


class Errands:
    """State of one run: who wears the camera, and what is to be done at the dock."""

    def __init__(
        self,
        custodian: Custodian,
        policy: Policy,
        assigned: Assigned | None,
        place: Callable[[], object],
        end_run: Callable[[str], object],
    ) -> None:
        """``place``: where the camera is, for the sealed words. ``end_run``: asks for an orderly end, with its reason."""
        self._custodian = custodian
        self._clear = policy.identity.clear_at_dock
        self._assigned = assigned
        self._place = place
        self._end_run = end_run
        self._returned = False
        self._asked: Timestamp | None = None
        self._taken: Timestamp | None = None

    @property
    def order_sha256(self) -> str | None:
        """What assigned the camera; ``None``: nobody wears it (BWC-POL-30)."""
        return None if self._assigned is None else self._assigned.order_sha256

    def assignment(self, recording: str) -> dict[str, Any]:
        """For ``assignment.json``, at the activation."""
        return self._sealed_words("oathcam-assignment/1", recording)

    def notes(self, recording: str) -> dict[str, Any]:
        """For ``notes.json``, at the end."""
        return self._sealed_words("oathcam-notes/1", recording)

    def _sealed_words(self, form: str, recording: str) -> dict[str, Any]:
        """What a stolen card must not tell; it is sealed before it is written. The officer's name is in it as the dock sealed it: the
        camera never had it in clear (BWC-POL-30, -33)."""
        words: dict[str, Any] = {"format": form, "recording": recording, "place": self._place()}
        if self._assigned is None:
            return {**words, "officer": UNASSIGNED}
        return {**words, "officer_sealed": base64.b64encode(self._assigned.officer).decode("ascii")}

    def sensed(self, docked: bool, was_docked: bool) -> None:
        """The dock's contact: a camera that is put in has come back from whoever wore it."""
        self._returned = (self._returned or not was_docked) and docked

    def came_to_rest(self, now: Timestamp) -> None:
        """What is recorded in the dock is over, or nothing was: a sync may begin, and it may bring another order."""
        self._asked = now
        if self._returned and self._clear:
            self._custodian.submit_deliveries(returned=True)
        self._returned = False
        self._custodian.submit_checkpoint()
        self._custodian.kick()

    def hear(self, item: AssignmentChanged | PolicyTaken, now: Timestamp) -> None:
        match item:
            case AssignmentChanged(assigned):
                self._assigned = assigned
                log.info("assigned by order %s", assigned.order_sha256[:16] if assigned else UNASSIGNED)
            case PolicyTaken(version):
                self._taken = now
                log.info("policy version %d was taken in: in force from the next start on", version)

    def tick(self, model: Model, awaiting_receipts: bool, now: Timestamp) -> None:
        """Once a second."""
        if not rests(model):
            return
        if self._taken is not None and (not awaiting_receipts or now.since(self._taken) > PATIENCE_NS):
            self._taken = None
            self._end_run("policy")
            return
        self._custodian.submit_deliveries()
        if self._asked is None or now.since(self._asked) >= ASK_AGAIN_NS:
            self._asked = now
            self._custodian.submit_checkpoint()

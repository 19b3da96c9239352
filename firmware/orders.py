"""What the writer is told of a recording: its name, what the camera was asked for, and, to be sealed, who wore it and where.

Responsible for numbering the recordings of a boot. Refuses to decide when one begins or ends. Called from the loop only.
"""

from __future__ import annotations

from typing import Any

from firmware.devices import Devices
from firmware.evidence.manifest import Video
from firmware.identity import RecordingContext
from firmware.policy.model import Policy
from firmware.recorder import BeginOrder
from firmware.storage.vault import recording_id
from firmware.timebase import Timestamp


class Orders:
    """``recording``: the one that is open, or was ordered last and not ended; empty when there is none."""

    def __init__(self, context: RecordingContext, policy: Policy, devices: Devices, officer: str) -> None:
        self._context = context
        self._policy = policy
        self._devices = devices
        self._officer = officer
        self._ordinal = 0
        self.recording = ""

    def begin(self, cause: str, at: Timestamp, shortfall: str) -> BeginOrder:
        """The next recording of this boot."""
        self._ordinal += 1
        self.recording = recording_id(self._context.device.serial, self._context.boot, self._ordinal)
        video, audio = self._policy.video, self._devices.audio_track()
        shape = Video(video.width, video.height, video.fps, "h264")
        return BeginOrder(self.recording, at, cause, shape, audio, shortfall, self._personal("oathcam-assignment/1"))

    def notes(self) -> dict[str, Any]:
        """For the end of the recording."""
        return self._personal("oathcam-notes/1")

    def _personal(self, form: str) -> dict[str, Any]:
        """What a stolen card must not tell: it is sealed before it is written (BWC-POL-30)."""
        officer = self._officer or "UNASSIGNED"
        return {"format": form, "recording": self.recording, "officer": officer, "place": self._devices.place()}

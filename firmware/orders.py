"""What the writer is told of a recording: its name, what the camera was asked for, and, to be sealed, who wore it and where.

Responsible for numbering the recordings of a boot. Refuses to decide when one begins or ends. Called from the loop only.
"""

from __future__ import annotations

from typing import Any

from firmware.devices import Devices
from firmware.errands import Errands
from firmware.evidence.manifest import Video
from firmware.identity import RecordingContext
from firmware.policy.model import Policy
from firmware.recorder import BeginOrder
from firmware.storage.vault import recording_id
from firmware.timebase import Timestamp


class Orders:
    """``recording``: the one that is open, or was ordered last and not ended; empty when there is none."""

    def __init__(self, context: RecordingContext, policy: Policy, devices: Devices, errands: Errands) -> None:
        self._context = context
        self._policy = policy
        self._devices = devices
        self._errands = errands
        self._ordinal = 0
        self._before = self.recording = ""

    def begin(self, cause: str, at: Timestamp, shortfall: str) -> BeginOrder:
        """The next recording of this boot."""
        self._ordinal += 1
        self._before = self.recording
        self.recording = recording_id(self._context.device.serial, self._context.boot, self._ordinal)
        video, audio = self._policy.video, self._devices.audio_track()
        shape = Video(video.width, video.height, video.fps, "h264")
        personal = self._errands.assignment(self.recording)
        return BeginOrder(self.recording, at, cause, shape, audio, shortfall, personal, self._errands.order_sha256)

    def take_back(self) -> None:
        """The recording that was ordered last does not begin: the one before it is ended instead."""
        self._ordinal -= 1
        self.recording = self._before

    def notes(self) -> dict[str, Any]:
        """For the end of the recording."""
        return self._errands.notes(self.recording)

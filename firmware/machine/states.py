"""The states of the camera and the conditions that pick one of them.

Refuses to know how a state is reached: that is the table's (``table.py``).
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """What the camera is doing. Exactly one at a time."""

    BOOTING = "booting"
    """Self-check and recovery; presses are remembered."""
    READY = "ready"
    """The pre-event buffer runs; nothing is kept."""
    RECORDING = "recording"
    """Pictures are being kept."""
    SLEEPING = "sleeping"
    """By the wearer's wish: no pictures at all; a double press still records."""
    DOCKED = "docked"
    """In the dock, camera off; a double press still records."""
    FAULT = "fault"
    """Something that a recording needs does not work."""
    FULL = "full"
    """The store has no room; nothing is overwritten (BWC-POL-23)."""
    HELD = "held"
    """After a critical recording, by policy: no new one until the dock (BWC-POL-21)."""
    HALTED = "halted"
    """Shut down. No way out but power."""


class Port(Enum):
    """What can fail. ``blocking`` ones make a recording impossible; the others are alarmed and recording goes on."""

    CAMERA = "camera"
    STORAGE = "storage"
    KEYS = "keys"
    MICROPHONE = "microphone"
    CARD = "card"
    """The card answers late; a card that refuses is ``STORAGE``."""
    VAULT = "vault"
    """What was stored reads back changed, or is not what the camera stored."""
    SIGNER = "signer"
    """The key store signs late, or hangs. Nothing can be promised, nor written into the ledger, until it answers."""
    INDICATORS = "indicators"

    @property
    def blocking(self) -> bool:
        return self in (Port.CAMERA, Port.STORAGE, Port.KEYS)


class Cause(Enum):
    """Why a recording started or ended (BWC-POL-03)."""

    BUTTON = "button"
    RECOVERY = "recovery"
    """Start only: a recording that a fault had ended goes on, because nobody asked for its end."""
    LOW_BATTERY = "low-battery"
    STORAGE_FULL = "storage-full"
    FAULT = "fault"
    SHUTDOWN = "shutdown"


class Previous(Enum):
    """How the run before this one ended."""

    FIRST = "first"
    CLEAN = "clean"
    POWER_LOSS = "power-loss"
    CRASH = "crash"


class Button(Enum):
    """Names as in ``hal.interfaces.ButtonName``."""

    RECORD = "record"
    FUNCTION = "function"


class TimerName(Enum):
    """Timers that the machine asks for; setting one replaces an earlier one of the same name."""

    RECORD_HOLD = "record-hold"
    FUNCTION_HOLD = "function-hold"
    REMINDER = "reminder"
    RETRY = "retry"
    SPLIT = "split"
    ANSWER = "answer"
    """A question is asked, or settled."""
    UNMUTE = "unmute"
    STEALTH = "stealth"


class Battery(Enum):
    """Charge, with hysteresis (``health.battery_level``)."""

    OK = "ok"
    LOW = "low"
    CRITICAL = "critical"

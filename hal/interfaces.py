"""The ports: what the firmware may ask of a device, and what every back-end owes.

Responsible for the shapes of values, the bounds and the threading promises at the edge of the firmware. Refuses to know
any library, any board and any file format above an access unit.

Threads: callbacks given to a port may be called from any thread and must not block; the firmware's own only put an
item into the :class:`Inbox`. Every other method is called from the firmware's loop or from one of its workers.

Time: every event carries a :class:`ClockReading` taken in the back-end, boot time and wall time read together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hal.errors import HalError
from hal.ports_media import AudioFormat as AudioFormat
from hal.ports_media import AudioFrame as AudioFrame
from hal.ports_media import AudioSink as AudioSink
from hal.ports_media import Camera as Camera
from hal.ports_media import CameraProgress as CameraProgress
from hal.ports_media import CameraSink as CameraSink
from hal.ports_media import LumaPicture as LumaPicture
from hal.ports_media import Microphone as Microphone
from hal.ports_media import Picture as Picture
from hal.ports_media import VideoFormat as VideoFormat
from hal.ports_time import Clock as Clock
from hal.ports_time import ClockReading as ClockReading
from hal.ports_time import ClockTrust as ClockTrust
from hal.ports_time import Timer as Timer


class Inbox(ABC):
    """The one bounded queue in front of the firmware's loop.

    A device blocks in :meth:`get`; the simulator advances its virtual time line there until something arrives.
    """

    @abstractmethod
    def put(self, item: object, *, urgent: bool = False) -> bool:
        """Append from any thread without blocking; ``False`` when full (the caller accounts for what it drops).

        ``urgent`` items (button edges, timers, faults: few and small) are taken up to twice the limit, so that a queue full
        of pictures never loses a press (BWC-POL-01). Order is that of arrival for all.
        """

    @abstractmethod
    def get(self) -> object | None:
        """Next item, or ``None`` when the loop is to end (shut-down asked for, or the simulated horizon reached)."""

    @abstractmethod
    def depth(self) -> tuple[int, int]:
        """(items that wait, the limit of those that are not urgent). Safe from any thread, without blocking."""

    @abstractmethod
    def close(self) -> None:
        """Make :meth:`get` return ``None`` once the queue is empty. Safe from any thread."""


class Worker(ABC):
    """One background thread with a bounded queue of jobs; the simulator runs each job at once, in place."""

    @abstractmethod
    def submit(self, job: Callable[[], None]) -> bool:
        """Queue ``job`` without blocking; ``False`` when the queue is full."""

    @abstractmethod
    def close(self) -> None:
        """Run what is queued, then end the thread. Idempotent."""


class ButtonName(Enum):
    RECORD = "record"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True)
class ButtonEdge:
    """A debounced edge; ``at`` is the instant of the edge, not of its delivery."""

    button: ButtonName
    pressed: bool
    at: ClockReading


class Buttons(ABC):
    @abstractmethod
    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None: ...

    @abstractmethod
    def is_pressed(self, button: ButtonName) -> bool: ...


class LampName(Enum):
    SUBJECT = "subject"
    """Faces the people filmed: lit whenever a picture is being kept (BWC-POL-13)."""
    STATUS = "status"
    """Faces the wearer."""


class Colour(Enum):
    OFF = "off"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Lamp:
    """``blink_ms`` is the half period; 0 is steady."""

    colour: Colour = Colour.OFF
    blink_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cue:
    """Something heard and felt: tones as (frequency in Hz, 0 = silence; duration in ms), vibration as (on ms, off ms). ``words`` are for
    a port that can say or show them; the others leave them out, because tones and pulses say it all."""

    tones: tuple[tuple[int, int], ...] = ()
    pulses: tuple[tuple[int, int], ...] = ()
    words: str = ""


class Indicators(ABC):
    @abstractmethod
    def set_lamp(self, name: LampName, lamp: Lamp) -> None: ...

    @abstractmethod
    def play(self, cue: Cue) -> None:
        """Start the cue and return at once; a new cue replaces the running one."""

    @abstractmethod
    def read_back(self, name: LampName) -> Colour:
        """What the lamp's driver really drives now (BWC-POL-13); ``OFF`` when it drives nothing."""


class KeyProtection(Enum):
    """Where the private signing key lives. Written into every manifest and every verdict."""

    FILE = "file"
    TPM = "tpm"
    PKCS11 = "pkcs11"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class KeyStoreInfo:
    protection: KeyProtection
    hardware_backed: bool
    description: str


class KeyStore(ABC):
    """The device's signing key, an ECDSA P-256 key that never leaves, and its counter, from 0, that never goes back.

    The counter belongs to the key: a store may raise ``HalUnavailable`` while there is no key to count for.
    """

    @abstractmethod
    def info(self) -> KeyStoreInfo: ...

    @abstractmethod
    def generate_key(self) -> bytes:
        """Make the signing key; returns its SubjectPublicKeyInfo, DER. Refuses (``HalError``) when one exists."""

    @abstractmethod
    def install_certificates(self, chain: Sequence[bytes]) -> None:
        """Keep the device's certificate chain (DER, leaf first, without the root)."""

    @abstractmethod
    def certificate_chain(self) -> tuple[bytes, ...]:
        """The chain as installed (DER, leaf first); ``HalUnavailable`` before provisioning."""

    @abstractmethod
    def sign_digest(self, digest: bytes) -> bytes:
        """ECDSA over a 32-byte SHA-256 digest; DER ``Ecdsa-Sig-Value``. May block 300 ms on a TPM."""

    @abstractmethod
    def counter_increment(self) -> int:
        """Add one to the monotonic counter, durably; returns the new value."""

    @abstractmethod
    def counter_read(self) -> int: ...

    def close(self) -> None:  # noqa: B027 - most stores have nothing to give back
        """Give the device back. Idempotent."""


class Entropy(ABC):
    @abstractmethod
    def random_bytes(self, count: int) -> bytes:
        """``count`` bytes fit for keys. The simulator's are seeded and therefore not secret."""


class VolumeFile(ABC):
    """An open file, written at its end only."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append all of ``data``. ``VolumeFull`` or ``DeviceFault``; a failed write may leave a part behind."""

    @abstractmethod
    def sync(self) -> None:
        """Return once the file's bytes would survive a power cut."""

    @abstractmethod
    def close(self) -> None: ...


class Volume(ABC):
    """The evidence volume. Names are relative, '/'-separated, without '.', '..' or a leading '/'.

    A name is durable only after :meth:`sync_directory` of its parent; bytes only after :meth:`VolumeFile.sync`; both after
    :meth:`sync_group`. ``firmware.storage.durable`` is the only caller that decides their order.
    """

    @abstractmethod
    def create(self, name: str) -> VolumeFile:
        """A new, empty file; ``HalError`` when the name exists."""

    @abstractmethod
    def append(self, name: str) -> VolumeFile:
        """An existing or new file, opened at its end."""

    @abstractmethod
    def truncate(self, name: str, length_bytes: int) -> None:
        """Shorten a file (recovery of a torn tail) and sync it."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Atomic; replaces ``new``."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file or an empty directory."""

    @abstractmethod
    def make_directory(self, name: str) -> None:
        """Make a directory and missing parents; fine when it exists."""

    @abstractmethod
    def sync_directory(self, name: str) -> None:
        """Make the entries of a directory durable; '' is the root."""

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        """Return once the bytes of ``files`` (open files of this volume) and the entries of ``directories`` would survive a power cut.

        As :meth:`VolumeFile.sync` of each and :meth:`sync_directory` of each, in no order that a caller may rely on: a back-end
        whose card flushes once for all of them is to do so. Raises the first error; then nothing is known to be durable.
        """
        for file in files:
            file.sync()
        for name in directories:
            self.sync_directory(name)

    @abstractmethod
    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        """The file from ``start_bytes`` on; ``HalError`` when absent. ``fresh``: from the medium, as far as the back-end can tell it
        from a cache."""

    @abstractmethod
    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        """(entry name, size in bytes; -1 for a directory), sorted by name; empty when ``name`` is absent."""

    @abstractmethod
    def free_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PowerState:
    """``percent`` 0–100; ``millivolts`` of the cell; ``celsius`` of the board. The flags are the board's own, as of now."""

    percent: int
    millivolts: int
    charging: bool
    celsius: int = 25
    low_voltage: bool = False
    """The supply is below what the board needs."""
    throttled: bool = False
    """The board has lowered its clock, for heat or for low voltage."""


class Power(ABC):
    @abstractmethod
    def state(self) -> PowerState: ...

    @abstractmethod
    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        """Called on a change of a percent, of charging, of a flag, or of 2 °C."""


@dataclass(frozen=True, slots=True)
class Fix:
    """WGS 84, degrees; ``accuracy_m`` is a 1-sigma radius; ``at`` is the instant of the fix."""

    latitude: float
    longitude: float
    accuracy_m: float
    at: ClockReading


class Positioning(ABC):
    @abstractmethod
    def fix(self) -> Fix | None:
        """The newest fix, or ``None`` where there is no receiver or no reception."""


class Orientation(ABC):
    @abstractmethod
    def up_g(self) -> float | None:
        """The acceleration along the picture's upward edge, in g: at rest 1 upright, 0 on its side or back, -1 upside down. ``None``
        where there is no accelerometer; ``DeviceFault`` from one that does not answer. Any thread, may take milliseconds."""


@dataclass(frozen=True, slots=True)
class DockSense:
    """``docked`` as sensed electrically; it proves nothing about who the dock is (TLS does)."""

    docked: bool
    at: ClockReading


class DockLink(ABC):
    """Dock sense. The recorder has no network: it says what it wants synced, another process talks (house law 8)."""

    @abstractmethod
    def docked(self) -> bool: ...

    @abstractmethod
    def subscribe(self, callback: Callable[[DockSense], None]) -> None: ...

    @abstractmethod
    def request_sync(self) -> None:
        """Tell the dock-sync process that the vault is ready for it. Returns at once."""


class Watchdog(ABC):
    """The service manager's view of the daemon."""

    @abstractmethod
    def ready(self) -> None: ...

    @abstractmethod
    def feed(self) -> None:
        """Called on progress only: a fragment promised, or a picture received in time (house law 10)."""

    @abstractmethod
    def status(self, text: str) -> None: ...

    @abstractmethod
    def stopping(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Hal:
    """One camera: every port, opened. ``describe`` names the back-end and its devices for the boot leaf."""

    backend: str
    clock: Clock
    inbox: Inbox
    camera: Camera
    microphone: Microphone
    buttons: Buttons
    indicators: Indicators
    key_store: KeyStore
    entropy: Entropy
    volume: Volume
    power: Power
    positioning: Positioning
    orientation: Orientation
    dock_link: DockLink
    watchdog: Watchdog
    make_worker: Callable[[str, int], Worker]
    """``make_worker(name, depth)``: a background worker with a queue of ``depth`` jobs."""
    describe: Mapping[str, str] = field(default_factory=dict)
    closers: tuple[Callable[[], None], ...] = ()
    pre_event_limit_bytes: int | None = None
    """Most memory that the pre-event buffer may take on this board, whatever the policy says; ``None``: no such limit."""

    def close(self) -> None:
        """Close every device; one that fails to close does not keep the others open. The first error is raised."""
        first: HalError | None = None
        for closer in self.closers:
            try:
                closer()
            except HalError as error:
                first = first or error
        if first is not None:
            raise first


HalConfig = Mapping[str, Any]
"""Back-end specific settings (the daemon's ``[hal]`` table); each back-end checks its own keys."""

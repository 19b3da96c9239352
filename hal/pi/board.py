"""Which board this is, what it can do, and what is wired where.

Responsible for the pin maps of the two reference builds and for the facts about each board that the other ports choose by.
``hardware-notes.md`` prints the same numbers and a test compares them. Refuses to guess: a board that is neither detected
nor named in the settings is an error, and so is one that was named and turns out to be another. Opens no device.

Invariants: a GPIO number appears at most once in a build's map; every board has exactly one encoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path

from hal.errors import HalUnavailable


class VideoEncoder(Enum):
    """How H.264 is made. Chosen by board and logged, never by what happens to be installed."""

    V4L2_M2M = "v4l2-m2m"
    """The VideoCore block behind ``/dev/video11`` (picamera2 ``V4L2Encoder``)."""
    LIBX264 = "libx264"
    """Software through libav (picamera2 ``LibavH264Encoder``): BCM2712 has no H.264 encoder."""


V4L2_ENCODER_DEVICE = Path("/dev/video11")
CHIP_BCM2835 = "pinctrl-bcm2835"
CHIP_BCM2711 = "pinctrl-bcm2711"
CHIP_RP1 = "pinctrl-rp1"
"""Labels of the GPIO controllers (drivers/pinctrl/bcm/pinctrl-bcm2835.c, drivers/pinctrl/pinctrl-rp1.c). Chip numbers change with
kernels and overlays; the label says which controller drives the header."""


@dataclass(frozen=True, slots=True)
class PinMap:
    """BCM GPIO numbers of one reference build. Buttons and the dock contact close to ground (active low, pull-up);
    lamps, sounder and motor are driven high through a transistor."""

    record_button: int
    function_button: int
    dock_contact: int
    """A contact of its own that the dock ties to ground: a charger is not a dock."""
    subject_lamp: int
    subject_sense: int
    """Low while current flows through the subject lamp: an open or shorted lamp does not pull it down (BWC-POL-13)."""
    status_red: int
    status_green: int
    status_blue: int
    sounder: int
    vibration: int
    pps: int
    """Pulse per second of the receiver, claimed by the kernel (``dtoverlay=pps-gpio,gpiopin=…``), not by this program."""
    i2c_data: int
    i2c_clock: int
    gnss_transmit: int
    gnss_receive: int
    i2s_clock: int
    i2s_frame: int
    i2s_data: int
    spi_miso: int
    spi_mosi: int
    spi_clock: int
    spi_select: int
    """Chip select 1: where ``dtoverlay=tpm-slb9670`` expects the TPM."""
    hint_transmit: int | None = None
    hint_receive: int | None = None

    def numbered(self) -> Iterator[tuple[str, int]]:
        """(name, GPIO number) of every pin that is wired, in order of declaration."""
        for each in fields(self):
            number = getattr(self, each.name)
            if number is not None:
                yield each.name, number


@dataclass(frozen=True, slots=True)
class Build:
    """One reference build: its wiring and the devices that the wiring reaches. Bit rates in Bd, addresses 7 bit."""

    name: str
    pins: PinMap
    gnss_device: Path
    hint_device: Path
    """The dock's serial hint channel."""
    gnss_baud: int = 38_400
    hint_baud: int = 115_200
    i2c_bus: int = 1
    gauge_address: int = 0x36
    """MAX17048 (datasheet 19-6171, "Slave Address": 0x6C write, 0x6D read)."""
    rtc_address: int = 0x68
    """DS3231, PCF8523."""
    button_debounce_ms: int = 15
    dock_debounce_ms: int = 300


_HEADER = {
    "record_button": 17,
    "function_button": 27,
    "dock_contact": 22,
    "subject_lamp": 23,
    "subject_sense": 24,
    "status_red": 16,
    "status_green": 26,
    "status_blue": 25,
    "sounder": 12,
    "vibration": 13,
    "pps": 6,
    "i2c_data": 2,
    "i2c_clock": 3,
    "gnss_transmit": 14,
    "gnss_receive": 15,
    "i2s_clock": 18,
    "i2s_frame": 19,
    "i2s_data": 20,
    "spi_miso": 9,
    "spi_mosi": 10,
    "spi_clock": 11,
    "spi_select": 7,
}
"""GPIO 21 (I2S data out) and 8 (chip select 0) stay free: the overlays for microphone and TPM claim them."""

ZERO_2_W = Build(
    name="zero2w",
    pins=PinMap(**_HEADER),
    gnss_device=Path("/dev/ttyAMA0"),
    # One PL011 only, and the receiver has it: the hint channel is the ACM function of the USB gadget.
    hint_device=Path("/dev/ttyGS0"),
)
CM4_CARRIER = Build(
    name="cm4-carrier",
    pins=PinMap(**_HEADER, hint_transmit=4, hint_receive=5),
    gnss_device=Path("/dev/ttyAMA0"),
    hint_device=Path("/dev/ttyAMA3"),  # dtoverlay=uart3
)
CM5_CARRIER = Build(
    name="cm5-carrier",
    pins=PinMap(**_HEADER, hint_transmit=4, hint_receive=5),
    gnss_device=Path("/dev/ttyAMA0"),
    hint_device=Path("/dev/ttyAMA2"),  # on RP1 GPIO 4 and 5 are UART 2: dtoverlay=uart2-pi5
)
BUILDS: dict[str, Build] = {build.name: build for build in (ZERO_2_W, CM4_CARRIER, CM5_CARRIER)}


@dataclass(frozen=True, slots=True)
class Board:
    """What a board can do. ``type_code`` is the TTTTTTTT field of the revision code (raspberrypi.com, "Revision codes")."""

    name: str
    title: str
    type_code: int
    sample_revision: int
    """A revision code of this type, for GPIO libraries when none can be read."""
    chip_label: str
    """Label of the GPIO controller that drives the header."""
    encoder: VideoEncoder
    profile: str
    """H.264 profile that is safe on this board (camera-notes: main with constant bitrate stalls the Zero 2 W's codec)."""
    level: str
    max_width: int
    max_height: int
    max_macroblocks_per_second: int
    pre_event_limit_bytes: int
    """Most RAM that the pre-event buffer may take beside CMA and the rest of the system."""
    build: Build
    low_voltage_detect: bool = True
    secure_boot: bool = False
    aes_instructions: bool = False


_LEVEL_4_0_MACROBLOCKS = 245_760
"""ITU-T H.264 table A-1, level 4: macroblocks per second."""
_MIB = 1 << 20


def _videocore(
    name: str,
    title: str,
    type_code: int,
    sample: int,
    *,
    chip: str = CHIP_BCM2835,
    profile: str = "high",
    limit_mib: int = 64,
    build: Build = ZERO_2_W,
    low_voltage_detect: bool = True,
    secure_boot: bool = False,
) -> Board:
    return Board(
        name,
        title,
        type_code,
        sample,
        chip,
        VideoEncoder.V4L2_M2M,
        profile,
        "4",
        1920,
        1080,
        _LEVEL_4_0_MACROBLOCKS,
        limit_mib * _MIB,
        build,
        low_voltage_detect,
        secure_boot,
    )


def _bcm2712(name: str, title: str, type_code: int, sample: int, build: Build = ZERO_2_W) -> Board:
    return Board(
        name,
        title,
        type_code,
        sample,
        CHIP_RP1,
        VideoEncoder.LIBX264,
        "baseline",
        "4",
        1920,
        1080,
        _LEVEL_4_0_MACROBLOCKS,
        256 * _MIB,
        build,
        secure_boot=True,
        aes_instructions=True,
    )


_BOARDS = (
    _videocore("zero2w", "Raspberry Pi Zero 2 W", 0x12, 0x902120, profile="baseline", low_voltage_detect=False),
    _videocore("3b", "Raspberry Pi 3B", 0x08, 0xA02082),
    _videocore("3b+", "Raspberry Pi 3B+", 0x0D, 0xA020D3),
    _videocore("3a+", "Raspberry Pi 3A+", 0x0E, 0x9020E0),
    _videocore("4b", "Raspberry Pi 4B", 0x11, 0xB03111, chip=CHIP_BCM2711, limit_mib=256, secure_boot=True),
    _videocore("cm4", "Compute Module 4", 0x14, 0xB03140, chip=CHIP_BCM2711, limit_mib=256, build=CM4_CARRIER, secure_boot=True),
    _bcm2712("5", "Raspberry Pi 5", 0x17, 0xC04170),
    _bcm2712("cm5", "Compute Module 5", 0x18, 0xC04180, build=CM5_CARRIER),
)
BOARDS: dict[str, Board] = {board.name: board for board in _BOARDS}


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a camera module wants to be asked for. Without a named mode libcamera takes the one nearest to the picture, which for 720p is
    the middle of the sensor (rpicam-apps#630, picamera2#924): a third of what the wearer faces would be missing."""

    whole_width: int
    whole_height: int
    """The mode that reads the whole sensor."""
    whole_fps: int
    """The most that it gives, rounded down."""
    bit_depth: int
    lens_position: float | None = None
    """Hyperfocal distance in dioptres for a blur of one pixel at 720p (hardware-notes.md, 4.2); ``None``: the lens does not move."""


_IMX708 = Sensor(2304, 1296, 56, 10, 0.4)
_IMX708_WIDE = Sensor(2304, 1296, 56, 10, 1.0)
SENSORS: dict[str, Sensor] = {
    "imx219": Sensor(1640, 1232, 41, 10),
    "imx296": Sensor(1456, 1088, 60, 10),
    "imx477": Sensor(2028, 1520, 40, 12),
    "imx708": _IMX708,
    "imx708_noir": _IMX708,
    "imx708_wide": _IMX708_WIDE,
    "imx708_wide_noir": _IMX708_WIDE,
}
"""By libcamera's model name (Raspberry Pi documentation, camera hardware)."""

_REVISION_FILE = "device-tree/system/linux,revision"
_NEW_STYLE = 1 << 23
_REMEDY = "name the board in the settings as hal.pi.board"


def board_of_revision(revision: int) -> Board:
    """The board of a revision code. ``HalUnavailable`` for old-style codes and boards without a map here."""
    if not revision & _NEW_STYLE:
        raise HalUnavailable(f"board revision {revision:#x} is older than any supported board; use one of {', '.join(sorted(BOARDS))}")
    code = revision >> 4 & 0xFF
    for board in _BOARDS:
        if board.type_code == code:
            return board
    raise HalUnavailable(f"board revision {revision:#x} has type {code:#04x}; supported are {', '.join(sorted(BOARDS))}")


def read_revision(proc: Path = Path("/proc")) -> int | None:
    """The revision code that the firmware handed to the kernel; ``None`` where there is none (not a Raspberry Pi).

    ``HalUnavailable`` when there is one that cannot be read: absence and trouble are different answers.
    """
    path = proc / _REVISION_FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return _revision_from_cpuinfo(proc / "cpuinfo")
    except OSError as error:
        raise HalUnavailable(f"cannot read the board revision at {str(path)!r}: {error.strerror}; {_REMEDY}") from error
    if len(raw) != 4:
        raise HalUnavailable(f"board revision at {str(path)!r}: expected 4 bytes, got {len(raw)}")
    return int(struct.unpack(">I", raw)[0])


def _revision_from_cpuinfo(path: Path) -> int | None:
    """Kernels without the device-tree node print it there as a hexadecimal ``Revision`` line."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Revision":
            try:
                return int(value.strip(), 16)
            except ValueError:
                raise HalUnavailable(f"board revision in {str(path)!r} is not hexadecimal: {value.strip()!r}") from None
    return None


def detect_board(named: str | None = None, proc: Path = Path("/proc")) -> tuple[Board, int]:
    """(board, revision code). ``named`` is the settings' word: it stands where no revision can be read, and must agree where
    one can. ``HalUnavailable`` otherwise."""
    if named is not None and named not in BOARDS:
        raise HalUnavailable(f"no board {named!r}; choose one of {', '.join(sorted(BOARDS))}")
    revision = read_revision(proc)
    if revision is None:
        if named is None:
            raise HalUnavailable(f"this is no Raspberry Pi: no board revision below {str(proc)!r}; {_REMEDY}")
        return BOARDS[named], BOARDS[named].sample_revision
    board = board_of_revision(revision)
    if named not in (None, board.name):
        raise HalUnavailable(
            f"the settings name board {named!r}, the revision code {revision:#x} says {board.name!r}; correct hal.pi.board"
        )
    return board, revision

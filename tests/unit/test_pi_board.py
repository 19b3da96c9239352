"""The boards' tables: wiring without a clash, detection without a guess."""

from __future__ import annotations

import re
import struct
import tomllib
from pathlib import Path

import pytest

from firmware.config import load_config
from hal.errors import HalUnavailable
from hal.pi.board import BOARDS, BUILDS, SENSORS, Build, VideoEncoder, board_of_revision, detect_board
from hal.pi.camera import BUFFERS, LOW_RESOLUTION
from hal.pi.config import parse_config
from hal.pi.encoders import floor_bps


def proc_with(directory: Path, revision: bytes | None = None, cpuinfo: str | None = None) -> Path:
    if revision is not None:
        node = directory / "device-tree" / "system"
        node.mkdir(parents=True)
        (node / "linux,revision").write_bytes(revision)
    if cpuinfo is not None:
        (directory / "cpuinfo").write_text(cpuinfo)
    return directory


@pytest.mark.parametrize("build", BUILDS.values(), ids=lambda one: one.name)
def test_no_pin_is_used_twice(build: Build) -> None:
    numbers = [number for _, number in build.pins.numbered()]
    assert len(numbers) == len(set(numbers))
    assert all(2 <= number <= 27 for number in numbers)  # 0 and 1 are the HAT's identification
    assert not {8, 21} & set(numbers)  # claimed by the overlays of TPM and microphone


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda one: one.name)
def test_a_sample_revision_names_its_own_board(board) -> None:
    assert board_of_revision(board.sample_revision) is board
    assert board.build in BUILDS.values()


def test_only_boards_without_the_block_encode_in_software() -> None:
    """BCM2712 has no H.264 encoder; every other supported board has."""
    assert {name for name, board in BOARDS.items() if board.encoder is VideoEncoder.LIBX264} == {"5", "cm5"}


def test_a_revision_is_read_from_the_device_tree(tmp_path: Path) -> None:
    board, revision = detect_board(proc=proc_with(tmp_path, struct.pack(">I", 0x902120)))
    assert (board.name, revision) == ("zero2w", 0x902120)


def test_a_revision_is_read_from_cpuinfo(tmp_path: Path) -> None:
    board, _ = detect_board(proc=proc_with(tmp_path, cpuinfo="Hardware\t: BCM2835\nRevision\t: b03140\n"))
    assert board.name == "cm4"


def test_a_named_board_stands_where_nothing_can_be_read(tmp_path: Path) -> None:
    board, revision = detect_board("zero2w", proc_with(tmp_path))
    assert (board.name, revision) == ("zero2w", board.sample_revision)


@pytest.mark.parametrize(
    ("named", "revision", "cpuinfo", "said"),
    [
        (None, None, None, "no Raspberry Pi"),
        ("zero3", None, None, "no board 'zero3'"),
        ("5", struct.pack(">I", 0x902120), None, "says 'zero2w'"),
        (None, b"\x00\x90", None, "expected 4 bytes"),
        (None, struct.pack(">I", 0x000E), None, "older than any supported board"),
        (None, struct.pack(">I", 0x9000C1), None, "has type 0x0c"),
        (None, None, "Revision\t: zzz\n", "not hexadecimal"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, named, revision, cpuinfo, said: str) -> None:
    """Absent, contradictory or unknown: each is an error that says which."""
    with pytest.raises(HalUnavailable, match=said):
        detect_board(named, proc_with(tmp_path, revision, cpuinfo))


ROOT = Path(__file__).resolve().parents[2]
NOTES = (ROOT / "hardware-notes.md").read_text(encoding="utf-8")
ZERO, CARRIER = BUILDS["zero2w"], BUILDS["cm4-carrier"]
MARKS = ("measured", "cited", "datasheet", "design", "memory")
Row = dict[str, str]


def notes_tables(text: str = NOTES) -> list[list[Row]]:
    """The tables of hardware-notes.md: each row by its column's heading."""
    tables: list[list[Row]] = []
    heading: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else []
        if not cells:
            heading = []
        elif not heading:
            heading = cells
            tables.append([])
        elif set(cells) != {"---"}:
            assert len(cells) == len(heading), line
            tables[-1].append(dict(zip(heading, cells, strict=True)))
    return tables


def notes_table(heading: str) -> dict[str, Row]:
    """The first table whose first column is ``heading``, by that column."""
    table = next(one for one in notes_tables() if one and next(iter(one[0])) == heading)
    assert len({row[heading] for row in table}) == len(table)
    return {row[heading]: row for row in table}


def notes_listing(first_line: str) -> list[str]:
    """Lines of the fenced listing that begins so."""
    return NOTES[NOTES.index(f"\n{first_line}\n") + 1 :].split("\n```")[0].splitlines()


def test_the_notes_print_the_pins_of_the_code() -> None:
    """What a technician wires is what the program drives."""
    table = notes_table("signal")
    zero, carrier = (dict(build.pins.numbered()) for build in (ZERO, CARRIER))
    assert table.keys() == carrier.keys()
    assert {name: row["Zero 2 W"] for name, row in table.items()} == {name: str(zero.get(name, "-")) for name in table}
    assert {name: row["CM4 carrier"] for name, row in table.items()} == {name: str(carrier[name]) for name in table}


def test_the_notes_print_the_boards_of_the_code() -> None:
    table = notes_table("board")
    assert table.keys() == BOARDS.keys()
    for name, board in BOARDS.items():
        row = table[name]
        assert (row[""], row["H.264"], row["profile"]) == (board.title, board.encoder.value, board.profile)
        assert row["GPIO controller"] == board.chip_label
        assert (row["secure boot"] == "yes", row["low-voltage detection"] == "yes") == (board.secure_boot, board.low_voltage_detect)


def test_the_notes_print_the_limits_of_the_code() -> None:
    table = notes_table("limits of")
    assert table.keys() == BOARDS.keys()
    for name, board in BOARDS.items():
        printed = list(table[name].values())[1:-1]
        size, buffer_mib = f"{board.max_width}x{board.max_height}", board.pre_event_limit_bytes >> 20
        aes = "yes" if board.aes_instructions else "no"
        assert printed == [board.build.name, board.level, size, str(board.max_macroblocks_per_second), str(buffer_mib), aes]


def test_the_notes_print_the_serial_lines_of_the_code() -> None:
    table = notes_table("serial line")
    for name, device, baud in (("gnss", "gnss_device", "gnss_baud"), ("hint", "hint_device", "hint_baud")):
        row = table[name]
        assert (row["build A"], row["build B"]) == (str(getattr(ZERO, device)), str(getattr(CARRIER, device)))
        assert row["baud"] == str(getattr(ZERO, baud)) == str(getattr(CARRIER, baud))


@pytest.mark.parametrize("build", [ZERO, CARRIER], ids=lambda one: one.name)
def test_the_notes_print_the_addresses_of_the_code(build: Build) -> None:
    """And no two devices that are fitted on one bus answer at one address."""
    fitted = {(int(row["bus"]), int(address, 16)) for address, row in notes_table("address").items() if row["fitted"] == "yes"}
    assert {address for bus, address in fitted if bus == build.i2c_bus} == {build.gauge_address, build.rtc_address}


def test_the_notes_print_the_chip_select_of_the_code() -> None:
    table = notes_table("chip select")
    assert {int(table["1"]["GPIO"])} == {ZERO.pins.spi_select, CARRIER.pins.spi_select}
    assert int(table["0"]["GPIO"]) == 8


def test_the_notes_print_the_numbers_of_the_code() -> None:
    printed = {name: row["is"] for name, row in notes_table("in the code").items()}
    assert printed == {
        "button debounce, ms": str(ZERO.button_debounce_ms),
        "dock debounce, ms": str(ZERO.dock_debounce_ms),
        "camera buffers": str(BUFFERS),
        "small picture": "x".join(map(str, LOW_RESOLUTION)),
        "least bit rate at 1280x720, b/s": str(floor_bps(1280, 720)),
    }
    assert (ZERO.button_debounce_ms, ZERO.dock_debounce_ms) == (CARRIER.button_debounce_ms, CARRIER.dock_debounce_ms)


def unmarked(text: str) -> list[Row]:
    """Rows of tables that do not say how what they say is known."""
    return [row for table in notes_tables(text) for row in table if not well_marked(row.get("mark", ""))]


def well_marked(mark: str) -> bool:
    """One of the five words; what was read or seen also says where."""
    word = re.split(r"[ ;,:]", mark)[0]
    if word == "measured":
        return "x86-64" in mark
    return word in MARKS and (word not in ("cited", "datasheet") or bool(re.match(r"\w+ \(.+\)", mark)))


def test_every_row_says_how_it_is_known() -> None:
    assert len(notes_tables()) > 20
    assert unmarked(NOTES) == []
    assert {row["word"] for row in notes_table("word").values()} == set(MARKS)


@pytest.mark.parametrize("mark", ["", "known", "cited", "datasheet 12", "measured", "designed"])
def test_a_row_without_a_good_mark_is_found(mark: str) -> None:
    assert len(unmarked(f"| fact | mark |\n| --- | --- |\n| water is wet | {mark} |\n| it is cold | design |\n")) == 1


def test_every_known_fault_says_how_it_is_known() -> None:
    assert len(notes_table("fact")) > 20


def test_sensors_in_the_notes_are_those_that_are_asked_for() -> None:
    printed = {
        name: (row["whole sensor"], row["at most, pictures/s"], row["bit"], row["lens position, dioptres"])
        for name, row in notes_table("sensor").items()
    }
    coded = {
        name: (f"{one.whole_width}x{one.whole_height}", str(one.whole_fps), str(one.bit_depth), str(one.lens_position or "-"))
        for name, one in SENSORS.items()
    }
    assert printed == coded


def test_acceptance_names_scenarios_that_exist() -> None:
    """A test on hardware has the name of the one on simulated hardware."""
    scenarios = set(re.findall(r"def (test_\w+)", (ROOT / "tests/machine/scenarios.py").read_text(encoding="utf-8")))
    named = {row["counterpart"] for row in notes_table("test").values()} - {"none", "soak"}
    assert named == scenarios


# config.txt: which lines of the header each overlay takes from the kernel's own sources, beside what its parameters say
CLAIMS: dict[str, set[int]] = {
    "i2c-rtc": {2, 3},
    "tpm-slb9670": {7, 8, 9, 10, 11},
    "adau7002-simple": {18, 19, 20, 21},
    "disable-bt": {14, 15},
    "uart3": {4, 5},
    "pps-gpio": set(),
    "disable-wifi": set(),
    "imx708": set(),
    "cma": set(),
    "dwc2": set(),
}
ELSEWHERE = {8, 21}
"""Claimed and connected to nothing."""
PARAMETERS: dict[str, set[int]] = {"i2c_arm": {2, 3}, "audio": set(), "act_led_trigger": set(), "pwr_led_trigger": set()}
PLAIN = {
    "arm_64bit",
    "auto_initramfs",
    "boot_delay",
    "camera_auto_detect",
    "disable_poe_fan",
    "disable_splash",
    "enable_uart",
    "force_eeprom_read",
}
INPUTS = ("record_button", "function_button", "dock_contact", "subject_sense")
OUTPUTS = ("subject_lamp", "status_red", "status_green", "status_blue", "sounder", "vibration")
CONFIGS = pytest.mark.parametrize(("name", "build"), [("A", ZERO), ("B", CARRIER)], ids=["A", "B"])


def config_lines(name: str) -> list[str]:
    return notes_listing(f"# config.txt, build {name}")


def settings_of(name: str) -> list[tuple[str, str]]:
    """(key, value) of every line that is one."""
    return [(key, value) for key, _, value in (line.partition("=") for line in config_lines(name) if line[0] not in "#[")]


def claimed_by_kernel(name: str) -> list[int]:
    """GPIO numbers that the listing gives away; ``KeyError`` for an overlay or parameter that nobody here knows."""
    numbers: set[int] = set()
    for key, value in settings_of(name):
        first, *rest = value.split(",")
        if key == "dtoverlay":
            numbers |= CLAIMS[first] | {int(one.partition("=")[2]) for one in rest if one.startswith("gpiopin=")}
        elif key == "dtparam":
            numbers |= PARAMETERS[first.partition("=")[0]]
        elif key != "gpio":
            assert key in PLAIN, key
    return sorted(numbers)


@CONFIGS
def test_config_txt_gives_the_kernel_the_pins_that_are_wired_for_it(name: str, build: Build) -> None:
    """Neither fewer nor more: what the program drives itself is claimed by no overlay."""
    ours = {number for signal, number in build.pins.numbered() if signal in (*INPUTS, *OUTPUTS)}
    kernels = {number for _, number in build.pins.numbered()} - ours
    assert set(claimed_by_kernel(name)) == kernels | ELSEWHERE


@CONFIGS
def test_config_txt_sets_the_pins_of_the_program_at_boot(name: str, build: Build) -> None:
    wanted = {(frozenset(getattr(build.pins, each) for each in names), how) for names, how in ((INPUTS, "ip,pu"), (OUTPUTS, "op,dl"))}
    printed = {key_value[1].partition("=")[::2] for key_value in settings_of(name) if key_value[0] == "gpio"}
    assert {(frozenset(map(int, numbers.split(","))), how) for numbers, how in printed} == wanted


@CONFIGS
def test_config_txt_says_why_above_each_line(name: str, build: Build) -> None:
    """With a mark in brackets; nothing stands behind a value, and no line is longer than the firmware reads."""
    lines = config_lines(name)
    comment = ""
    for line in lines[2:]:
        assert len(line) <= 98, line
        if line.startswith("# "):
            comment += line[1:]
            continue
        assert "#" not in line, line
        mark = re.search(r" \[(.+)\]$", comment)
        assert mark is not None, line
        assert re.split(r"[ ;,:]", mark[1])[0] in MARKS, line
        comment = ""
    assert not comment
    assert sum(key == "dtoverlay" and value == "uart3" for key, value in settings_of(name)) == (build.pins.hint_transmit is not None)


def test_no_console_stands_on_the_receiver_s_line() -> None:
    (line,) = re.findall(r"(?m)^console=.+$", NOTES)
    words = line.split()
    assert [word for word in words if word.startswith("console=")] == ["console=tty1"]
    assert [word.strip("`") for word in notes_table("word of cmdline.txt")] == words


def test_the_configuration_in_the_notes_is_one_that_is_accepted(tmp_path: Path) -> None:
    """By the daemon and the key store; what is left are the settings of the Pi back-end."""
    text = "\n".join(notes_listing("# One camera."))
    (tmp_path / "oathcamd.toml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "oathcamd.toml")
    assert config.backend == "pi"
    settings, _ = parse_config({**config.hal_options, "volume": "/v", "keys": "/k", "sync_request": "/s"})
    rest = config.hal_options
    assert settings.board in BOARDS
    assert rest["microphone"].endswith(dict(one.split("=") for one in _overlay("adau7002-simple"))["card-name"])
    assert tomllib.loads(text)["dock"]["host"].startswith("169.254.")  # the only network that the sync's unit lets through


def _overlay(name: str) -> list[str]:
    (line,) = {value for key, value in settings_of("A") if key == "dtoverlay" and value.split(",")[0] == name}
    return line.split(",")[1:]

"""The boards' tables: wiring without a clash, detection without a guess."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hal.errors import HalUnavailable
from hal.pi.board import BOARDS, BUILDS, Build, VideoEncoder, board_of_revision, detect_board


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


def notes_tables() -> list[dict[str, tuple[str, ...]]]:
    """The tables of hardware-notes.md: first cell to the others."""
    text = (Path(__file__).resolve().parents[2] / "hardware-notes.md").read_text(encoding="utf-8")
    tables: list[dict[str, tuple[str, ...]]] = [{}]
    for line in text.splitlines():
        if line.startswith("| "):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            tables[-1][first] = tuple(others)
        elif tables[-1]:
            tables.append({})
    return tables


def test_the_notes_print_the_pins_of_the_code() -> None:
    """What a technician wires is what the program drives."""
    table = next(one for one in notes_tables() if "signal" in one)
    zero, carrier = (dict(build.pins.numbered()) for build in (BUILDS["zero2w"], BUILDS["cm4-carrier"]))
    wired = {name: cells for name, cells in table.items() if name not in ("signal", "---")}
    assert wired.keys() == carrier.keys()
    assert {name: cells[0] for name, cells in wired.items()} == {name: str(zero.get(name, "-")) for name in wired}
    assert {name: cells[1] for name, cells in wired.items()} == {name: str(carrier[name]) for name in wired}


def test_the_notes_print_the_boards_of_the_code() -> None:
    table = next(one for one in notes_tables() if "board" in one)
    for name, board in BOARDS.items():
        title, encoder, profile, chip, secure, low_voltage = table[name]
        assert (title, encoder, profile, chip) == (board.title, board.encoder.value, board.profile, board.chip_label)
        assert (secure == "yes", low_voltage == "yes") == (board.secure_boot, board.low_voltage_detect)


def test_every_known_fault_says_how_it_is_known() -> None:
    table = next(one for one in notes_tables() if "fact" in one)
    marks = [cells[0] for name, cells in table.items() if name not in ("fact", "---")]
    assert marks
    assert all(mark.split()[0] in ("cited", "measured", "memory", "design") for mark in marks)

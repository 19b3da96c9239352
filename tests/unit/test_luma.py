"""The small picture: the mean over whole blocks, rounded down, whatever the size."""

from __future__ import annotations

import numpy as np
import pytest

from hal.interfaces import ClockReading, ClockTrust
from hal.luma import SMALL_WIDTH, shrink

NOW = ClockReading(5, 7, ClockTrust.SYNCED)


@pytest.mark.parametrize(("width", "height"), [(320, 180), (324, 241), (641, 479), (1280, 720), (1920, 1080), (5440, 40)])
@pytest.mark.parametrize("white", [False, True])
def test_blocks_are_averaged(width: int, height: int, white: bool) -> None:
    """5440 wide: blocks of 17, whose sum needs more than 16 bits."""
    luma = np.random.default_rng(width).integers(0, 256, (height, width + 8), np.uint8)[:, :width]  # lines with a stride
    if white:
        luma[:] = 255
    small = shrink(luma, NOW)
    factor = -(-width // SMALL_WIDTH)
    rows, columns = height // factor, width // factor
    assert (small.width, small.height, small.captured) == (columns, rows, NOW)
    found = np.frombuffer(small.data, np.uint8).reshape(rows, columns)
    expected = [
        [
            int(luma[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor].astype(int).sum()) // factor**2
            for column in range(0, columns, 7)
        ]
        for row in range(rows)
    ]
    assert found[:, ::7].tolist() == expected

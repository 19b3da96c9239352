"""What tools write as TOML is read back as it was."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tools.toml import toml

plain = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30)
names = st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=8)


@given(plain | st.lists(plain, max_size=3) | st.dictionaries(names, plain, max_size=3))
def test_round_trip(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}")["x"] == value


def test_an_officer_beyond_sixteen_bits() -> None:
    assert tomllib.loads(f"officer = {toml('Ⅳ 𝒪 é')}")["officer"] == "Ⅳ 𝒪 é"

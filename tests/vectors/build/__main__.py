"""Writes the vectors: ``python -m tests.vectors.build`` (``make vectors``). What is checked in does not change by it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.vectors.build.all import files

HERE = Path(__file__).resolve().parents[1] / "evidence"


def main() -> None:
    made = files()
    for path in HERE.rglob("*"):
        if path.is_file() and path.name != "README.md" and str(path.relative_to(HERE)) not in made:
            path.unlink()
    for name, data in made.items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    sys.stderr.write(f"{len(made)} files, {sum(map(len, made.values()))} bytes\n")


main()

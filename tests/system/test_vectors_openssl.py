"""The golden vectors of CMS before a program that nobody here wrote: what we call good, openssl opens and verifies too."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.vectors import run
from tests.vectors.build.vector import Read

pytestmark = [pytest.mark.system, pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")]


def vectors(kind: str, expect: str) -> list[Path]:
    return [
        path
        for path in sorted(run.HERE.glob(f"{kind}/*.txt"))
        if f"\nexpect: {expect}\n" in path.read_text() and "\ncuts: " not in path.read_text()
    ]


def openssl(tmp_path: Path, *arguments: object, data: bytes) -> tuple[int, bytes]:
    """Exit code and what was written."""
    source, target = tmp_path / "in.der", tmp_path / "out"
    source.write_bytes(data)
    command = ["openssl", "cms", *map(str, arguments), "-binary", "-inform", "DER", "-in", str(source), "-out", str(target)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, target.read_bytes() if target.exists() else b""


def decrypt(tmp_path: Path, one: Read) -> tuple[int, bytes]:
    keys = run.HERE / "keys"
    return openssl(
        tmp_path,
        *("-decrypt", "-inkey", keys / one.header["key private"], "-recip", keys / one.header["key recipient"]),
        data=one.inputs["sealed"],
    )


@pytest.mark.parametrize("path", vectors("sealed", "success"), ids=lambda path: path.stem)
def test_openssl_opens_what_we_open(path: Path, tmp_path: Path) -> None:
    one = Read.of(path.read_text())
    code, plain = decrypt(tmp_path, one)
    assert (code, hashlib.sha256(plain).hexdigest()) == (0, one.header["released"])


@pytest.mark.parametrize("path", vectors("sealed", "integrity"), ids=lambda path: path.stem)
def test_openssl_opens_nothing_that_was_altered(path: Path, tmp_path: Path) -> None:
    assert decrypt(tmp_path, Read.of(path.read_text()))[0] != 0


def verify(tmp_path: Path, one: Read) -> int:
    """At the time that the signature claims, which is how we judge too."""
    content = tmp_path / "content"
    content.write_bytes(one.inputs["content"])
    root = run.HERE / "keys" / one.header["key root"]
    return openssl(
        tmp_path,
        "-verify",
        "-content",
        content,
        "-CAfile",
        root,
        "-purpose",
        "any",
        "-no_check_time",
        "-cades",
        data=one.inputs["signature"],
    )[0]


@pytest.mark.parametrize("path", vectors("signature", "success"), ids=lambda path: path.stem)
def test_openssl_verifies_what_we_verify(path: Path, tmp_path: Path) -> None:
    assert verify(tmp_path, Read.of(path.read_text())) == 0


ROLES = {"store-as-camera", "camera-as-store", "dock-as-store", "link-as-camera", "role-crossed", "role-unknown", "authority-signs"}
"""Roles are ours: openssl knows the chain, not what an OU may do."""
TIMES = {"expired", "leaf-expired", "authority-too-young"}
"""Judged above without a time."""
STRICTER = {"key-p521", "leaf-is-authority"}
"""Rules of the signer's certificate that openssl was asked not to apply (-purpose any), or does not have."""


@pytest.mark.parametrize("path", vectors("signature", "integrity"), ids=lambda path: path.stem)
def test_openssl_verifies_nothing_that_was_altered(path: Path, tmp_path: Path) -> None:
    """But for what only we know, which is asserted too: the list is no excuse."""
    ours = path.stem in ROLES | TIMES | STRICTER
    assert (verify(tmp_path, Read.of(path.read_text())) == 0) == ours

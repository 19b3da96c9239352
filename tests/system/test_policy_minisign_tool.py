"""The stock minisign tool and ours read each other's keys and signatures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from firmware.errors import IntegrityError
from firmware.policy import minisign

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed (Debian package minisign)"),
]

SEED = bytes(range(32))
KEY_ID = b"\x11\x22\x33\x44\x55\x66\x77\x88"


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["minisign", *arguments], cwd=folder, capture_output=True, timeout=60, check=False)


def test_the_stock_tool_accepts_our_signature_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes(b"format = 1\n")
    (tmp_path / "key.pub").write_text(minisign.public_key_text(KEY_ID, bytes(SigningKey(SEED).verify_key)))
    text = minisign.sign_minisign(SEED, KEY_ID, b"format = 1\n", "policy default version 1")
    (tmp_path / "policy.toml.minisig").write_text(text)
    good = run("-V", "-p", "key.pub", "-m", "policy.toml", folder=tmp_path)
    assert good.returncode == 0, good.stderr
    assert b"policy default version 1" in good.stdout
    (tmp_path / "policy.toml.minisig").write_text(text.replace("version 1", "version 2"))
    assert run("-V", "-p", "key.pub", "-m", "policy.toml", folder=tmp_path).returncode != 0
    (tmp_path / "policy.toml.minisig").write_text(text)
    (tmp_path / "policy.toml").write_bytes(b"format = 2\n")
    assert run("-V", "-p", "key.pub", "-m", "policy.toml", folder=tmp_path).returncode != 0


def test_we_accept_the_stock_tools_signature_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes(b"format = 1\n")
    made = run("-G", "-W", "-p", "key.pub", "-s", "key.sec", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    signed = run("-S", "-s", "key.sec", "-m", "policy.toml", "-t", "signed by a technician", folder=tmp_path)
    assert signed.returncode == 0, signed.stderr
    key = minisign.parse_public_key((tmp_path / "key.pub").read_text())
    signature = minisign.parse_signature((tmp_path / "policy.toml.minisig").read_text())
    minisign.verify_minisign(key, b"format = 1\n", signature)
    assert signature.trusted_comment == "signed by a technician"
    with pytest.raises(IntegrityError):
        minisign.verify_minisign(key, b"format = 2\n", signature)

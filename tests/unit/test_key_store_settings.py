"""The key store's settings: what a back-end's table may hold, and that nothing is opened in another place than it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from absent import need_library, need_program
from typer.testing import CliRunner

from hal.errors import HalError, HalUnavailable
from hal.file_key_store import FileKeyStore
from hal.interfaces import KeyProtection
from hal.key_store import KeyStoreSettings, open_key_store, parse_key_store, settings_table, split_settings
from tools.cli import app

TOKEN = {"key_store": "pkcs11", "pkcs11_module": "/usr/lib/module.so", "pkcs11_token": "camera"}


def test_a_back_ends_table_is_split() -> None:
    settings, rest = split_settings({"board": "cm4", "key_store": "tpm", "tpm_handle": 0x81000002, "volume": "/card"})
    assert settings == KeyStoreSettings(KeyProtection.TPM, tpm_handle=0x81000002)
    assert rest == {"board": "cm4", "volume": "/card"}
    assert split_settings({"board": "cm4"}) == (KeyStoreSettings(), {"board": "cm4"})
    assert KeyStoreSettings().key_store is KeyProtection.FILE


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"key_store": "simulated"}, "'key_store'"),
        ({"key_store": "paper"}, "'file' or 'tpm' or 'pkcs11'"),
        ({"tpm_tcti": "device:/dev/tpm0"}, "does not belong to key_store = 'file'"),
        ({"key_store": "tpm", "pkcs11_token": "camera"}, "does not belong to key_store = 'tpm'"),
        ({**TOKEN, "tpm_handle": 0x81000002}, "does not belong to key_store = 'pkcs11'"),
        ({"key_store": "tpm", "tpm_handle": 0x80000000}, "'tpm_handle'"),
        ({"key_store": "tpm", "tpm_handle": "0x81000002"}, "'tpm_handle'"),
        ({"key_store": "tpm", "tpm_counter": 0x01C00002}, "'tpm_counter'"),
        ({"key_store": "tpm", "tpm_tcti": ""}, "'tpm_tcti'"),
        ({**TOKEN, "pkcs11_module": "module.so"}, "an absolute path"),
        ({**TOKEN, "pkcs11_pin_file": "pin"}, "an absolute path"),
        ({**TOKEN, "pkcs11_pin": "1234"}, "no setting 'pkcs11_pin'"),
        ({"key_store": "pkcs11", "pkcs11_token": "camera"}, "'pkcs11_module'"),
        ({"key_store": "pkcs11", "pkcs11_module": "/usr/lib/module.so"}, "'pkcs11_token'"),
    ],
)
def test_what_does_not_fit_is_named(table: dict[str, object], said: str) -> None:
    with pytest.raises(HalError, match=said):
        parse_key_store(table)


@pytest.mark.parametrize("table", [{}, {"key_store": "tpm", "tpm_counter": 0x01900000}, TOKEN, {**TOKEN, "pkcs11_pin_file": "/etc/pin"}])
def test_what_is_written_reads_back(table: dict[str, object]) -> None:
    settings = parse_key_store(table)
    assert parse_key_store(settings_table(settings)) == settings


@pytest.mark.parametrize("protection", [KeyProtection.FILE, KeyProtection.SIMULATED])
def test_a_file_says_what_it_is(tmp_path: Path, protection: KeyProtection) -> None:
    store = open_key_store(protection, tmp_path / "keys")
    assert isinstance(store, FileKeyStore)
    assert store.info().protection is protection


@pytest.mark.parametrize(("protection", "library"), [(KeyProtection.TPM, "tpm2_pytss"), (KeyProtection.PKCS11, "pkcs11")])
def test_an_absent_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protection: KeyProtection, library: str) -> None:
    """A missing library is no reason to sign in a file instead."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(HalUnavailable, match=r"needs the library .*; install"):
        open_key_store(protection, tmp_path / "keys", KeyStoreSettings(pkcs11_module=Path("/usr/lib/module.so"), pkcs11_token="camera"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hal", "sim", "--key-store", "tpm"], "simulated"),
        (["--hal", "sim", "--tpm-tcti", "device:/dev/tpm0"], "simulated"),
        (["--hal", "pi", "--key-store", "paper"], "'file' or 'tpm' or 'pkcs11'"),
        (["--hal", "pi", "--key-store", "tpm", "--tpm-handle", "none"], "none"),
        (["--hal", "pi", "--key-store", "pkcs11", "--pkcs11-token", "camera"], "pkcs11_module"),
        (["--hal", "pi", "--tpm-handle", "0x81000002"], "does not belong"),
    ],
)
def test_provisioning_refuses_before_it_makes_anything(tmp_path: Path, options: list[str], said: str) -> None:
    arguments = ["provision", "camera", str(tmp_path / "camera"), "--agency", str(tmp_path), "--serial", "S-1", *options]
    result = CliRunner().invoke(app, arguments)
    assert said in str(result.exception)
    assert not (tmp_path / "camera").exists()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_absent_is_skipped_but_not_in_ci(monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]) -> None:
    """A suite that skips everything is green, too."""
    monkeypatch.setenv("CI", ci)
    for look in (lambda: need_program("no-such-program"), lambda: need_library("no_such_library")):
        with pytest.raises(outcome, match="is not installed"):
            look()

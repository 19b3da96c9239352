"""A camera whose key never was in a file: provisioned, recording and verified, with swtpm and with SoftHSM2."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from camerabench import RECORDING, SMALL, START_WALL_NS, Bench
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from keybench import TOKEN, softhsm, swtpm
from typer.testing import CliRunner

from firmware.config import load_config
from firmware.evidence import pki
from firmware.evidence.findings import Verdict
from hal.errors import HalError
from hal.interfaces import ButtonName, Hal, KeyProtection
from hal.key_store import open_key_store, split_settings
from hal.sim.world import World
from tools.checkup import Light
from tools.checkup_trust import check_counter, check_key_store
from tools.cli import app
from tools.policies import read_profile

pytestmark = pytest.mark.system

WORDS = {"tpm": "its signing key lies in a TPM 2.0", "pkcs11": "its signing key lies in a PKCS#11 token"}


@pytest.fixture(params=[KeyProtection.TPM, KeyProtection.PKCS11], ids=lambda each: each.value)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[KeyProtection, list[str]]]:
    """A device, and the options by which a technician names it."""
    if request.param is KeyProtection.TPM:
        with swtpm(tmp_path) as tpm:
            yield request.param, ["--key-store", "tpm", "--tpm-tcti", tpm.tcti, "--tpm-handle", "0x8100bc02"]
    else:
        with softhsm(tmp_path) as hsm:
            token = ["--pkcs11-module", str(hsm.module), "--pkcs11-token", TOKEN, "--pkcs11-pin-file", str(hsm.pin_file)]
            yield request.param, ["--key-store", "pkcs11", *token]


@pytest.fixture
def provisioned(device: tuple[KeyProtection, list[str]], agency, tmp_path: Path) -> Path:
    arguments = ["provision", "camera", str(tmp_path / "camera"), "--agency", str(agency.directory), "--serial", "SIM-0001"]
    result = CliRunner().invoke(app, [*arguments, "--hal", "pi", "--profile", str(policy(tmp_path)), *device[1]])
    assert result.exit_code == 0, result.output
    assert f"signing key: {device[0].value}" in result.output
    return tmp_path / "camera"


def policy(directory: Path) -> Path:
    """Small pictures, and little before the press."""

    _, text = read_profile("default")
    for old, new in {**SMALL, "seconds = 30": "seconds = 1"}.items():
        text = text.replace(old, new)
    (directory / "policy.toml").write_text(text)
    return directory / "policy.toml"


def bench_of(camera: Path, agency) -> Bench:
    """The simulator with the camera's own key store in the place of the simulated one, as the configuration says."""
    config = load_config(camera / "oathcamd.toml")

    def with_key_store(hal: Hal) -> Hal:
        settings, rest = split_settings(config.hal_options)
        assert rest == {}
        return dataclasses.replace(hal, key_store=open_key_store(settings.key_store, config.key_directory, settings))

    return Bench(config, agency, World(START_WALL_NS, seed=7), change=with_key_store)


def test_a_shift(provisioned: Path, device: tuple[KeyProtection, list[str]], agency) -> None:
    """BWC-POL-36, BWC-POL-24: recorded twice over two boots, authentic, and every paper says where the key lies."""
    protection = device[0].value
    bench = bench_of(provisioned, agency)
    for start in (2, 12):
        bench.world.double_press(bench.at(start))
        bench.world.press(ButtonName.RECORD, bench.at(start + 1), hold_ms=3300)
    bench.run(9)
    bench.run(20)
    report = bench.verify()
    assert report.verdict is Verdict.AUTHENTIC, [one.sentence() for one in report.findings]
    assert [recording.verdict for recording in report.recordings] == [Verdict.AUTHENTIC] * 2
    assert bench.manifest(RECORDING).key_protection == protection
    boots = [entry.fields for entry in bench.entries() if entry.kind == "boot"]
    assert [(fields["counter"], fields["key_protection"]) for fields in boots] == [(1, protection), (2, protection)]
    arguments = ["verify", str(bench.card), "--trust", str(agency.directory / "root.crt")]
    assert f"states that {WORDS[protection]}" in " ".join(CliRunner().invoke(app, arguments).output.split())
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [WORDS[protection] in one["signing_key"] for one in found["devices"][0]["recordings"]] == [True, True]


def test_doctor_says_what_protects_the_key(provisioned: Path, device: tuple[KeyProtection, list[str]], agency) -> None:
    bench = bench_of(provisioned, agency)
    with bench.life() as daemon:
        hal = daemon._hal
        row = check_key_store(hal)
        assert row.light is Light.GREEN
        assert row.found.startswith(f"{device[0].value}: ")
        assert row.found.endswith("signs; hardware-backed")
        assert check_counter(hal, bench.config).light is Light.GREEN


def test_no_private_key_in_any_file(provisioned: Path, device: tuple[KeyProtection, list[str]], agency) -> None:
    """The certificate is for the key in the device, and what lies in the key directory is public."""
    config = load_config(provisioned / "oathcamd.toml")
    settings, _ = split_settings(config.hal_options)
    assert settings.key_store is device[0]
    assert [path.name for path in config.key_directory.iterdir()] == ["device.pem"]
    store = open_key_store(settings.key_store, config.key_directory, settings)
    chain = [pki.load_certificate(der) for der in store.certificate_chain()]
    pki.check_chain(chain, [agency.root.certificate], pki.Role.CAMERA, pki.not_before_ns(chain[0]))
    with pytest.raises(HalError, match="not replaced"):
        store.generate_key()
    der = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = [path for path in provisioned.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert [path.name for path in private] == ["link.key"]  # the dock link's, which is another key
    assert der not in private[0].read_bytes()

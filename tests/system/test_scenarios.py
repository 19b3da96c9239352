"""Every scenario that comes with the package, run and verified; and the command around them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.errors import UsageError
from tools.scenario import load_scenario, shipped
from tools.scenario_expect import differences
from tools.scenario_run import run_scenario

OATHCAM = [sys.executable, "-P", "-m", "tools.cli", "sim"]
HEAD = 'format = "oathcam-scenario/1"\nname = "one"\ndescription = "One."\nend = 6\n'
PRESS = '[[action]]\nat = 2\ndo = "double_press"\n'
POLICY_SITUATIONS = {
    *("warrant-service", "brief-detention-and-frisk", "pursuit-with-battery-loss", "attorney-conversation", "first-amendment-activity"),
    *("forgotten-stop", "unassigned-camera", "docked-while-recording"),
}


def oathcam_sim(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*OATHCAM, *arguments], capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_scenario(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    found = run_scenario(scenario, tmp_path)
    assert differences(scenario.expect, found) == [], found


def test_the_situations_of_the_policies_are_there() -> None:
    assert shipped().keys() >= POLICY_SITUATIONS
    assert len(shipped()) >= 20


def test_an_unassigned_camera_seals_that_it_is(tmp_path: Path) -> None:
    """The officer stands in sealed notes only, and of an unassigned camera they say so (BWC-POL-30)."""
    from tools.opening import read_manifest, read_notes
    from tools.sources import DirectorySource, load_key

    run_scenario(load_scenario("unassigned-camera"), tmp_path)
    source = DirectorySource(tmp_path / "camera" / "card")
    (recording,) = source.names("vault")
    key = load_key(tmp_path / "agency" / "agency.key", None)
    assert key is not None
    assert read_notes(source, read_manifest(source, recording, None), key)["officer"] == "UNASSIGNED"


def test_as_expected_and_kept(tmp_path: Path) -> None:
    """0; what is kept is evidence that the other commands read."""
    file = tmp_path / "one.toml"
    file.write_text(HEAD + PRESS + "[expect]\nrecordings = 1\n", encoding="utf-8")
    done = oathcam_sim(str(file), "--keep", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert "as expected" in done.stdout
    command = [
        *OATHCAM[:-1],
        "verify",
        str(tmp_path / "kept" / "camera" / "card"),
        "--trust",
        str(tmp_path / "kept" / "agency" / "root.crt"),
    ]
    assert subprocess.run(command, capture_output=True, timeout=100, check=False).returncode == 0


def test_not_as_expected(tmp_path: Path) -> None:
    """1, and what differs, for people and for programs."""
    file = tmp_path / "one.toml"
    file.write_text(HEAD + PRESS + "[expect]\nmarks = 3\n", encoding="utf-8")
    done = oathcam_sim(str(file))
    assert done.returncode == 1
    assert "marks: expected 3, got 0" in done.stdout
    result = json.loads(oathcam_sim(str(file), "--json").stdout)
    assert (result["as_expected"], result["differences"]) == (False, ["marks: expected 3, got 0"])
    assert result["found"]["ends"] == ["shutdown"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "expected one of a scenario, --web and --list"),
        (("marks", "--list"), "expected one of a scenario, --web and --list"),
        (("no-such-scenario",), "cannot read scenario"),
    ],
)
def test_usage(arguments: tuple[str, ...], sentence: str) -> None:
    done = oathcam_sim(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_policy_rule_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(HEAD + "[policy.mute]\nmode = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"mute\.mode"):
        run_scenario(load_scenario(str(file)), tmp_path / "run")


def test_the_list() -> None:
    rows = json.loads(oathcam_sim("--list", "--json").stdout)
    assert [row["name"] for row in rows] == sorted(shipped())

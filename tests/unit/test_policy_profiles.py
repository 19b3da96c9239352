"""What the profiles say against what their sources ask for, and the words in which ``oathcam policy`` tells it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firmware.errors import OathcamError
from firmware.policy.load import parse_policy
from firmware.policy.model import MuteMode, Policy, PreEvent
from tools import policy_words
from tools.policies import app, profile_names, read_profile
from tools.policy_words import compare, explain, remarks
from tools.requirements import shipped_requirements

ROWS = shipped_requirements()
ASKED: dict[str, dict[str, Any]] = {
    "cbp-idvrs": {"pre_event.seconds": 120},
    "fws": {"pre_event.seconds": range(30, 121), "audio.enabled": True},
    "usss": {"pre_event.seconds": range(30, 121), "video.height": 1080, "video.width": 1920, "retention.grace_days": 0},
    "dhs": {"audio.enabled": True},
    "ice": {"activation.confirm_stop": True},
    "doj": {"activation.confirm_stop": True},
    "default": {"pre_event.seconds": 30},
}
"""Numbers and choices that a source names. Whatever is not here is ours, and the profile's remark says so."""
EVERYWHERE: dict[str, Any] = {
    "pre_event.audio": False,
    "pre_event.seconds": range(121),
    "activation.hold_to_stop_ms": 3000,
    "indicators.stealth": False,
    "indicators.reminder_seconds": 120,
    "sleep.reminder_seconds": range(901),
    "storage.warn_minutes_first": 60,
    "storage.warn_minutes_last": 30,
    "recording.max_seconds": 14_400,
    "video.gop_seconds": 1,
    "mute.mode": "off",
}
"""What the rows ask of every camera unless an agency says otherwise."""


def rules(name: str) -> dict[str, Any]:
    policy, text = read_profile(name)
    return {rule.path: rule for rule in explain(policy, text, ROWS)}


@pytest.mark.parametrize("name", sorted(ASKED))
def test_each_number_is_the_one_that_its_source_asks_for(name: str) -> None:
    """BWC-POL-08 and the rows beside it: 120 s, at least 30, 30 to 120, 1080p, the defaults of the table."""
    assert sorted(ASKED) == profile_names()
    found = rules(name)
    for path, asked in {**EVERYWHERE, **ASKED[name]}.items():
        value = found[path].value
        assert value in asked if isinstance(asked, range) else value == asked, (path, value)


@pytest.mark.parametrize("name", profile_names())
def test_every_rule_of_a_profile_has_a_requirement_and_a_source(name: str) -> None:
    """BWC-POL-50: the requirement on its line is the model's, and the row says what it derives from; an agency's choice is remarked on."""
    _, text = read_profile(name)
    found = rules(name)
    table = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\[([a-z_]+)\]", line):
            table = f"{match[1]}."
        elif match := re.match(r"([a-z_]+) = .*?# (BWC-POL-\d\d)", line):
            assert match[2] == found[table + match[1]].requirement, line
    for path, rule in found.items():
        assert rule.source, path
        assert ROWS[rule.requirement].source == rule.source
    sourced = [path for path, rule in found.items() if "derived from" in rule.why]
    assert len(sourced) >= 5


def test_every_rule_is_spoken_of_in_a_sentence() -> None:
    """No rule is passed over; a new one is told by its description until it has a sentence of its own."""
    policy, text = read_profile("default")
    told = explain(policy, text, ROWS)
    assert [rule.path for rule in told] == [path for path, *_ in policy_words._leaves(Policy(), "")]
    assert all(rule.sentence.endswith(".") and not rule.sentence[0].islower() for rule in told)
    assert policy_words.sentence("live.stream", True, {"text": "whether it streams"}) == "Whether it streams: true."
    assert policy_words._SENTENCES.keys() <= {rule.path for rule in told}
    choices = next(rule for rule in told if rule.path == "categories.choices")
    assert "critical incident (CRITICAL)" in choices.sentence


def test_the_words_follow_the_values() -> None:
    """Both sides of every choice, and the zero of what may be zero."""
    low = replace(Policy(), pre_event=PreEvent(0, True, 1_048_576), mute=replace(Policy().mute, mode=MuteMode.HOLD))
    words = {rule.path: rule.sentence for rule in explain(low, "", ROWS)}
    assert words["pre_event.seconds"] == "The camera keeps nothing from before a press."
    assert words["pre_event.audio"] == "Sound from before the press is kept too."
    assert "while the function button is held" in words["mute.mode"]
    toggled = replace(Policy(), mute=replace(Policy().mute, mode=MuteMode.TOGGLE), retention=replace(Policy().retention, grace_days=3))
    words = {rule.path: rule.sentence for rule in explain(toggled, "", ROWS)}
    assert "for 3 days" in words["retention.grace_days"]
    assert "the next brings it back" in words["mute.mode"]


def test_remarks_are_those_of_the_line() -> None:
    assert remarks('[a]\nx = 1 # BWC-POL-08: why\ny = 2\n[b]\nx = "#" # BWC-POL-01, -02: because: so\n') == {
        "a.x": "why",
        "b.x": "because: so",
    }


def test_a_difference_says_what_it_means() -> None:
    found = {change.path: change for change in compare(read_profile("default")[0], read_profile("cbp-idvrs")[0])}
    assert {"profile", "agency", "pre_event.seconds", "pre_event.max_bytes"} <= set(found)
    change = found["pre_event.seconds"]
    assert (change.old, change.new, change.requirement) == (30, 120, "BWC-POL-08")
    assert (change.before, change.after) == (change.after.replace("120 s", "30 s"), change.before.replace("30 s", "120 s"))


# --- the command


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    if isinstance(done.exception, OathcamError):
        raise done.exception
    return done.exit_code, done.output


def test_list_show_and_check_for_programs(tmp_path: Path) -> None:
    assert [one["profile"] for one in json.loads(run("list", "--json")[1])] == profile_names()
    shown = json.loads(run("show", "cbp-idvrs", "--json")[1])
    assert (shown["rules"]["pre_event.seconds"], shown["version"]) == (120, 1)
    (tmp_path / "mine.toml").write_text(read_profile("dhs")[1], encoding="utf-8")
    checked = json.loads(run("check", str(tmp_path / "mine.toml"), "--json")[1])
    assert (checked["well_formed"], checked["sha256"]) == (True, shown_hash("dhs"))
    (tmp_path / "mine.toml").write_text(read_profile("dhs")[1].replace('profile = "dhs"', 'profile = "mine"'), encoding="utf-8")
    with pytest.raises(OathcamError, match="expected a profile of"):
        run("check", str(tmp_path / "mine.toml"))


def shown_hash(name: str) -> str:
    return str(json.loads(run("show", name, "--json")[1])["sha256"])


def test_diff_for_people_and_programs() -> None:
    code, text = run("diff", "default", "cbp-idvrs")
    assert code == 1
    assert "pre_event.seconds: 30 → 120  (BWC-POL-08)" in text
    code, text = run("diff", "default", "cbp-idvrs", "--json")
    assert (code, json.loads(text)["changes"][0]["path"]) == (1, "profile")
    assert run("diff", "dhs", "dhs") == (0, "the same rules\n")


def test_explain_a_profile() -> None:
    code, text = run("explain", "fws")
    assert code == 0
    assert "The camera keeps the 30 s before a press in memory" in text
    assert "pre_event.seconds, BWC-POL-08, derived from: CBP PIA-052(a), FWS Director's Order 220" in text
    value = json.loads(run("explain", "fws", "--json")[1])
    assert {"path", "value", "sentence", "requirement", "source", "why"} == set(value["rules"][0])


def test_explain_what_is_in_force_on_a_camera(make_bench: Any) -> None:
    """A camera's configuration: the delivered policy where there is one, and what was refused."""
    bench = make_bench(pre_event=1)
    code, text = run("explain", str(bench.config.path))
    assert code == 0
    assert "camera SIM-0001, provisioned: default, version 1" in text
    folder = bench.config.key_directory / "orders"
    folder.mkdir(exist_ok=True)
    (folder / "policy-4.toml").write_text("version = 4\n")
    assert "refused: policy-4.toml" in run("explain", str(bench.config.path))[1]
    assert parse_policy(bench.config.policy.read_text()).version == 1

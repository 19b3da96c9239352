"""Scenario files: strict, every error one line that names the place and what was expected."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.errors import UsageError
from tools.scenario import Action, Expect, Scenario, action_fields, load_scenario, make_action, parse_scenario, shipped
from tools.scenario_expect import differences, expectations
from tools.scenario_run import Found, run_scenario
from tools.scenario_verbs import VERBS
from tools.scenario_write import write_scenario

HEAD = 'format = "oathcam-scenario/1"\nname = "one"\ndescription = "One."\nend = 60\n'
ACTION = '[[action]]\nat = 5\ndo = "tap"\n'
FOUND = Found(
    "authentic", "ready", {"begin": 2, "mark": 1, "fragment": 30}, ["button", "power-loss"], [12.2, 18.0], ["boot"], ["gap"], [], []
)


def test_the_least_that_is_one() -> None:
    assert parse_scenario(HEAD, "x") == Scenario("one", "One.", 60)


def test_an_action_has_every_field() -> None:
    scenario = parse_scenario(HEAD + ACTION, "x")
    assert scenario.actions == (Action(5.0, "tap", {"button": "record", "bounce": False}),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("format = ", "not TOML"),
        (HEAD.replace("end = 60\n", ""), "'end' is missing"),
        (HEAD.replace("/1", "/2"), "format: expected one of oathcam-scenario/1, got 'oathcam-scenario/2'"),
        (HEAD.replace('"one"', '"One Two"'), "name: expected small letters, digits and hyphens, got 'One Two'"),
        (HEAD + "speed = 2\n", "unknown field 'speed'; known are format, name"),
        (HEAD + "seed = -1\n", "seed: expected a whole number from 0"),
        (HEAD + 'picture = "large"\n', "picture: expected one of small, policy, got 'large'"),
        (HEAD + "policy = 1\n", "policy: expected tables as a policy has them"),
        (HEAD + "action = 1\n", "action: expected a list of [[action]] tables"),
        (HEAD + "[[action]]\nat = 5\n", "action 1: expected a table with 'at' and 'do'"),
        (HEAD + ACTION.replace("5", "-5"), "action 1 (at -5, do 'tap'): at: expected a number from 0 to 14400"),
        (HEAD + ACTION.replace("5", "true"), "at: expected a number"),
        (HEAD + ACTION.replace('"tap"', '"erase"'), "action 1 (at 5, do 'erase'): unknown action; known are press, release"),
        (HEAD + ACTION + "force = 3\n", "action 1 (at 5, do 'tap'): unknown field 'force'; it has button, bounce"),
        (HEAD + ACTION.replace('"tap"', '"dock"') + "force = 3\n", "unknown field 'force'; it has none"),
        (HEAD + ACTION.replace('"tap"', '"card"'), "field 'fault' is missing"),
        (HEAD + ACTION + 'button = "off"\n', "button: expected one of record, function, got 'off'"),
        (HEAD + ACTION + "bounce = 1\n", "bounce: expected true or false, got 1"),
        (HEAD + ACTION.replace('"tap"', '"set_battery"') + "percent = 101\n", "percent: expected a number from 0 to 100, got 101"),
        (HEAD + ACTION + ACTION.replace("5", "4"), "action 2 (at 4, do 'tap'): it stands after one at 5; put them in order"),
        (HEAD.replace("60", "4") + ACTION, "end: expected at least 5, the last action's instant, got 4"),
        (HEAD + "[expect]\nverdicts = 1\n", "unknown field 'expect.verdicts'"),
        (HEAD + '[expect]\nverdict = "good"\n', "expect.verdict: expected one of authentic, not authentic, cannot tell, got 'good'"),
        (HEAD + "[expect]\nmarks = -1\n", "expect.marks: expected a whole number"),
        (HEAD + '[expect]\nmarks = "+2"\n', 'expect.marks: expected a whole number, or a text such as "2+"'),
        (HEAD + "[expect]\nends = [1]\n", "expect.ends: expected a list, each small letters"),
        (HEAD + "[expect.leaves]\nmarks = 1\n", "unknown field 'expect.leaves.marks'; known are boot"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as error:
        parse_scenario(text, "file.toml")
    assert str(error.value).startswith("file.toml: ")
    assert error.value.remedy


def test_the_page_can_do_nothing_else() -> None:
    assert make_action(1.0, "dock", {}).do == "dock"
    for do, fields in (("erase", {}), (["dock"], {}), ("dock", {"x": 1}), ("card", {"fault": "none "})):
        with pytest.raises(UsageError):
            make_action(0.0, do, fields)


def fields_of(do: str) -> st.SearchStrategy[dict[str, object]]:
    def values(name: str) -> st.SearchStrategy[object]:
        known = VERBS[do].fields[name]
        if known.choices:
            return st.sampled_from(known.choices)
        return st.booleans() if known.flag else st.floats(known.low, known.high, allow_nan=False)

    return st.fixed_dictionaries({name: values(name) for name in VERBS[do].fields})


actions = st.sampled_from(sorted(VERBS)).flatmap(
    lambda do: st.builds(Action, st.integers(0, 50_000_000).map(lambda us: us / 1e6), st.just(do), fields_of(do))
)
counts = st.integers(0, 99) | st.integers(1, 99).map(lambda n: f"{n}+")
expects = st.builds(
    Expect,
    verdict=st.none() | st.just("authentic"),
    state=st.none() | st.just("off"),
    recordings=st.none() | counts,
    ends=st.none() | st.lists(st.sampled_from(["button", "fault"])),
    lengths=st.none() | st.lists(st.floats(0, 100, allow_nan=False)),
    marks=st.none() | counts,
    leaves=st.dictionaries(st.sampled_from(["mark", "fault"]), counts),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=5), expects, st.text(min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(several: list[Action], expect: Expect, words: str, seed: int) -> None:
    ordered = tuple(sorted(several, key=lambda action: action.at))
    scenario = Scenario("round-trip", words, 60.0, seed=seed, policy={"mute": {"mode": "off"}}, actions=ordered, expect=expect)
    assert parse_scenario(write_scenario(scenario), "x") == scenario


def test_defaults_are_whole() -> None:
    """Every field with a default takes it."""
    for do, verb in VERBS.items():
        needed = {name: (one.choices or (one.low,))[0] for name, one in verb.fields.items() if one.default is None}
        assert action_fields(do, needed, do).keys() == verb.fields.keys()


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_ones_are_named_as_their_files(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.expect.verdict is not None
    assert scenario.expect.recordings is not None


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for name in ("no-such-scenario", str(tmp_path), str(tmp_path / "absent.toml")):
        with pytest.raises(UsageError, match="cannot read scenario"):
            load_scenario(name)


# --- the document

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"


def table(name: str) -> dict[str, str]:
    """First column → the rest of the row, of the table under a comment."""
    rows = DOCUMENT.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    return {row.split("|")[1].strip().strip("`"): row.split("|", 2)[2] for row in rows}


def test_the_document_has_every_action_and_its_fields() -> None:
    rows = table("actions")
    assert list(rows) == list(VERBS)
    for do, verb in VERBS.items():
        assert set(re.findall(r"`(\w+)`", rows[do])) == {
            *verb.fields,
            *(one for field in verb.fields.values() for one in field.choices),
        } - ({"record", "function"} if "button" in verb.fields else set())


def test_the_document_has_every_expectation() -> None:
    assert sorted(table("expect")) == sorted(one.name for one in dataclasses.fields(Expect))


def test_the_document_has_every_field_of_the_head() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Head\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == {"format", *(one.name for one in dataclasses.fields(Scenario))} - {
        "actions",
        "expect",
    }


def test_the_example_of_the_document_is_as_it_says(tmp_path: Path) -> None:
    scenario = parse_scenario(DOCUMENT.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0], "docs/scenarios.md")
    assert differences(scenario.expect, run_scenario(scenario, tmp_path)) == []


# --- expectations


def test_what_was_found_is_as_expected() -> None:
    assert differences(Expect(), FOUND) == []
    assert differences(expectations(FOUND), FOUND) == []
    assert differences(Expect(lengths=[11.0, 19.0], marks="1+", leaves={"fragment": "30+", "fault": 0}, findings=["gap"]), FOUND) == []


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        (Expect(verdict="not authentic"), "verdict: expected 'not authentic', got 'authentic'"),
        (Expect(state="off"), "state at the end: expected 'off', got 'ready'"),
        (Expect(recordings=1), "recordings: expected 1, got 2"),
        (Expect(recordings="3+"), "recordings: expected at least 3, got 2"),
        (Expect(ends=["button"]), "ends: expected ['button'], got ['button', 'power-loss']"),
        (Expect(gaps=[]), "gaps: expected [], got ['boot']"),
        (Expect(lengths=[12.2]), "lengths: expected about [12.2] s, got [12.2, 18.0] s"),
        (Expect(lengths=[12.2, 16.4]), "lengths: expected about"),
        (Expect(marks=0), "marks: expected 0, got 1"),
        (Expect(leaves={"fault": 1}), "leaves 'fault': expected 1, got 0"),
        (Expect(findings=["torn"]), "finding 'torn': expected, and not found"),
    ],
)
def test_what_is_not_as_expected_is_said(expect: Expect, sentence: str) -> None:
    (told,) = differences(expect, FOUND)
    assert told.startswith(sentence)
    assert differences(expect, replace(FOUND)) == [told]

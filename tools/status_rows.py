"""What a status says, as rows with a light: state and faults first, then the way of a picture, then what surrounds it.

Responsible for what is green and for the remedy where something is not. Refuses to read files and clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.checkup import Row, amber, green, red

SLOW_US = 2_000_000
"""A promise that came later than this, or a call that took longer, is worth a look."""
NOT_RUNNING = "Look at `systemctl status oathcamd` and `journalctl -u oathcamd`."
_FAULTS = {
    "camera": "Check the camera's cable; the recorder tries it again every few seconds.",
    "storage": "Check the card; what it refuses is tried again each second.",
    "keys": "Check the key store; see docs/keys.md.",
    "microphone": "Check the microphone; it is started again every few seconds, and pictures go on.",
    "card": "Replace the card if this comes again: it does not answer in time, and pictures wait in memory.",
    "signer": "Check the TPM or token: nothing can be promised until it signs; after 10 s the recorder starts anew.",
    "vault": "Keep the card, and have `oathcam verify` look at a copy of it: something stored reads back changed.",
    "indicators": "Check the subject lamp and its sense line.",
}


def rows_of(facts: Mapping[str, Any]) -> list[Row]:
    """A row per station: state and faults first, then the way of a picture, then what surrounds it."""
    return [_recorder(facts), *_faults(facts), *_way(facts), *_calls(facts), *_surroundings(facts)]


def _recorder(facts: Mapping[str, Any]) -> Row:
    recording, up_s = facts["recording"], facts["uptime_us"] // 1_000_000
    doing = f"{facts['state']}, up {up_s // 3600}:{up_s // 60 % 60:02}:{up_s % 60:02}"
    if recording is not None:
        doing += f"; {recording['id']} for {recording['length_us'] / 1e6:.0f} s"
    remedies = {
        "fault": "See the rows below.",
        "full": "Dock the camera: nothing is overwritten, and nothing is recorded until there is room.",
        "held": "Dock the camera: after a critical recording it takes no new one before.",
        "halted": f"Start it again. {NOT_RUNNING}",
    }
    remedy = remedies.get(facts["state"])
    return red("recorder", doing, remedy) if remedy else green("recorder", doing)


def _faults(facts: Mapping[str, Any]) -> list[Row]:
    return [red(port, "at fault", _FAULTS.get(port, NOT_RUNNING)) for port in facts["faults"]]


def _row(port: str, found: str, wrong: bool, remedy: str) -> Row:
    """Amber with its remedy, or green."""
    return amber(port, found, remedy) if wrong else green(port, found)


def _way(facts: Mapping[str, Any]) -> list[Row]:
    promises, buffer = facts["promises"], facts["pre_event"]
    lag = ", ".join(f"{name} {promises[key] / 1e6:.3f} s" for name, key in _LAGS)
    dropped = ", ".join(f"{count} ({cause})" for cause, count in sorted(facts["dropped"]["pictures"].items()))
    lost = f"pictures: {dropped}; whole GOPs: {sum(facts['dropped']['gops'].values())}" if dropped else "nothing"
    buffered = f"{buffer['span_us'] / 1e6:.1f} of {buffer['limit_us'] / 1e6:.0f} s, {buffer['bytes']} of {buffer['limit_bytes']} bytes"
    return [
        green("pictures", f"{facts['pictures']} received"),
        green("last progress", ", ".join(f"{stage} {age / 1e6:.1f} s" for stage, age in facts["ages_us"].items())),
        _level("inbox", facts["inbox"], "items", "Look for calls that took long in the journal: the loop was held up."),
        green("pre-event", buffered),
        green("writer", f"{facts['queue']['now']} operations wait, peak {facts['queue']['peak']}"),
        _level("waiting", facts["waiting_bytes"], "bytes", "Replace the card, or lower the policy's bit rate: the card does not keep up."),
        _row("promises", f"{promises['gops']} GOPs; {lag}", promises["max_us"] > SLOW_US, "Compare with the slowest calls below."),
        _row("dropped", lost, bool(dropped), "Read the recording's gap entries for when, and the journal for why."),
    ]


_LAGS = (("last", "last_us"), ("half below", "p50_us"), ("99 % below", "p99_us"), ("longest", "max_us"))


def _level(port: str, level: Mapping[str, int], unit: str, remedy: str) -> Row:
    found = f"{level['now']} {unit}, peak {level['peak']}, limit {level['limit']}"
    return _row(port, found, 2 * level["peak"] > level["limit"], remedy)


def _calls(facts: Mapping[str, Any]) -> list[Row]:
    rows = []
    for port in ("card", "signer"):
        one = facts[port]
        running = f", one for {one['age_us'] / 1e6:.1f} s now" if one["age_us"] else ""
        found = f"{one['calls']} calls, slowest {one['slowest_us'] / 1e6:.3f} s{running}"
        slow = one["slowest_us"] > SLOW_US and port not in facts["faults"]  # a fault has a red row of its own
        rows.append(_row(f"{port} calls", found, slow, _FAULTS[port]))
    return rows


def _ledger(facts: Mapping[str, Any]) -> str:
    if facts["ledger_leaves"] is None:
        return "not open yet"
    return f"{facts['ledger_leaves']} leaves; {facts['unreceipted']} closed recordings without a receipt"


def _left(ahead: Mapping[str, Any]) -> str:
    """In minutes of recording."""
    if ahead["minutes"] is None:
        return "not known yet"
    battery = "charging" if ahead["battery_minutes"] is None else f"{ahead['battery_minutes']} min by the cell"
    source = "" if ahead["battery_minutes"] is None else " (measured)" if ahead["battery_measured"] else " (assumed)"
    heat = "" if ahead["heat_minutes"] is None else f"; fewer bits in {ahead['heat_minutes']} min, for heat"
    return f"{ahead['minutes']} min of recording; {battery}{source}{heat}"


def _surroundings(facts: Mapping[str, Any]) -> list[Row]:
    power, memory = facts["power"], facts["memory"]
    room = "not measured yet" if facts["room_minutes"] is None else f"{facts['room_minutes']} min"
    cell = "not read yet" if power is None else f"{power['percent']} %{', charging' if power['charging'] else ''}, {power['celsius']} °C"
    ahead = facts["forecast"]
    unlocked = memory not in ("locked", "not asked for")
    lock_remedy = "Set LimitMEMLOCK=infinity in oathcamd.service: unactivated pictures must not reach a swap device."
    return [
        _row("room", room, facts["room_warning"] > 0, "Dock the camera soon."),
        green("ledger", _ledger(facts)),
        _row("clock", f"trust {facts['clock_trust']}", facts["clock_trust"] == "unset", "Dock the camera so that it is given the time."),
        _row("power", cell, facts["battery"] != "ok", "Charge the camera."),
        _row("time left", _left(ahead), facts["battery_short"], "Charge the camera: the cell ends before long."),
        _row("memory", f"not locked: {memory}" if unlocked else memory, unlocked, lock_remedy),
    ]

"""Wall times of the machine's boots, told at the end."""

from __future__ import annotations

import pytest

_TIMES = pytest.StashKey[list[tuple[str, float]]]()


@pytest.fixture
def wall_times(request: pytest.FixtureRequest) -> list[tuple[str, float]]:
    return request.config.stash.setdefault(_TIMES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    times = config.stash.get(_TIMES, [])
    if times:
        terminalreporter.section("boots of the machine, wall time")
        for job, seconds in times:
            terminalreporter.write_line(f"{seconds:7.1f} s  {job}")
        terminalreporter.write_line(f"{sum(seconds for _, seconds in times):7.1f} s  together")

"""The soak's plots: one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, TOP = 900, 150, 70, 10

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 960px; padding: 0 1rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse } td { padding: .15rem 1rem .15rem 0; vertical-align: top }
svg { width: 100%; height: auto } polyline { fill: none; stroke-width: 1.2 }
line { stroke: #d0d7de } text { font-size: 11px; fill: #57606a }
.key { font-size: .85rem; margin: 0 0 0 70px } .key span { margin-right: 1.2rem }
"""


COLOURS = ("#0b6bcb", "#bf5b04", "#57606a")
Line = Sequence[tuple[float, float]]


def plot(title: str, unit: str, lines: Mapping[str, Line]) -> str:
    """Lines over time, from 0 up, by name; those without a point are left out."""
    lines = {name: points for name, points in lines.items() if any(y for _, y in points)}
    most = max((y for points in lines.values() for _, y in points), default=0) * 1.05 or 1
    last = max((x for points in lines.values() for x, _ in points), default=0) or 1
    drawn = key = ""
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        places = " ".join(f"{LEFT + WIDTH * x / last:.1f},{TOP + HEIGHT * (1 - y / most):.1f}" for x, y in points)
        drawn += f'<polyline stroke="{colour}" points="{places}"/>'
        key += f'<span style="color:{colour}">{html.escape(name)}</span>'
    key = f'<p class="key">{key}</p>\n' if len(lines) > 1 else ""
    marks = "".join(
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.0f}" y2="{y:.0f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{value:.4g}</text>'
        for share in (0, 0.5, 1)
        for y, value in [(TOP + HEIGHT * (1 - share), most * share)]
    )
    times = "".join(
        f'<text x="{LEFT + WIDTH * share:.0f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{last * share / 60:.3g} min</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    size = f"0 0 {LEFT + WIDTH + 40} {TOP + HEIGHT + 24}"
    picture = f'<svg viewBox="{size}" role="img" aria-label="{title}">{marks}{times}{drawn}</svg>'
    return f"<h2>{title} ({unit})</h2>\n{key}{picture}\n"


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    samples = result["samples"]

    def series(field: str, unit: float = 1) -> list[tuple[float, float]]:
        return [(one["at_s"], one[field] / unit) for one in samples if one[field] >= 0]

    def both(field: str, unit: float = 1) -> dict[str, Line]:
        return {"recorder": series(field, unit), "capture process": series(f"capture_{field}", unit)}

    plots = (
        plot("Resident memory", "MiB", both("rss_bytes", 1 << 20)),
        plot("File descriptors", "count", both("descriptors")),
        plot("Threads", "count", both("threads")),
        plot("Promise lag: last picture of a fragment to its durable leaf, worst of each second", "ms", {"lag": series("lag_ms")}),
        plot("Processor", "percent of one", both("cpu_percent") | {"together": series("both_cpu_percent")}),
        plot("Pictures promised", "count", {"pictures": series("pictures")}),
    )
    rows = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in result.items()
        if name not in ("samples", "log_tail")
    )
    page = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Oathcam soak</title><style>{STYLE}</style>\n'
    page += f"<h1>Oathcam soak, {result['minutes']:g} minutes</h1>\n<table>{rows}</table>\n{''.join(plots)}</html>\n"
    path.write_text(page, encoding="utf-8")

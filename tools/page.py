"""Pages that are one file: the template engine as every report uses it.

Text is escaped, an unknown name is an error, and nothing is fetched: styles and pictures are inside.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def write_page(path: Path, template: str, filters: dict[str, Callable[..., str]], **values: Any) -> None:
    """Render ``template`` of ``tools/templates`` and write it; ``path`` is replaced."""
    environment = Environment(
        loader=PackageLoader("tools", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    path.write_text(environment.get_template(template).render(**values), encoding="utf-8")

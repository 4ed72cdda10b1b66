"""The pages of docs/examples: each with its entry of ``remote_write``, and the Python that builds the sink."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "examples"


@dataclass(frozen=True)
class Example:
    """
    A page.

    :param stanza: its entry of ``remote_write``.
    :param blocks: its Python: from the stanza, and without it.
    """

    path: Path
    stanza: str
    blocks: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")


def examples() -> list[Example]:
    """Return the examples of all receivers."""
    return [_read(path) for path in sorted(FOLDER.glob("*.md")) if path.name != "README.md"]


def _read(path: Path) -> Example:
    text = path.read_text(encoding="utf-8")
    (stanza,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return Example(path, stanza, tuple(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)))

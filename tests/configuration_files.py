"""The corpus of Prometheus configurations, sorted by whether Prometheus and the sink accept them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "configuration" / "files"

#: Prometheus and the sink accept these; both refuse these; only Prometheus accepts these.
ACCEPTED, REFUSED, REFUSED_HERE = "accepted", "refused", "refused_here"


@dataclass(frozen=True)
class ConfigurationFile:
    """
    A file of the corpus.

    :param since: the first version of Prometheus that agrees with the folder.
    :param official: whether this needs an official build: Debian's build leaves out Azure and Google.
    """

    path: Path
    since: tuple[int, ...] = (3, 0)
    official: bool = False

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def entry(self) -> str | None:
        """The name of the first entry, if there are several."""
        names = re.findall(r"name: ?(\w+)", self.path.read_text())
        return names[0] if len(names) > 1 else None


def configuration_files(folder: str) -> list[ConfigurationFile]:
    """Return the files of a folder."""
    return [_read(path) for path in sorted((FOLDER / folder).glob("*.yml"))]


def _read(path: Path) -> ConfigurationFile:
    found = re.search(r"^# promtool:( official)?(?: since (\d+)\.(\d+))?$", path.read_text(), re.MULTILINE)
    if found is None:
        return ConfigurationFile(path)
    since = (int(found[2]), int(found[3])) if found[2] else (3, 0)
    return ConfigurationFile(path, since, found[1] is not None)

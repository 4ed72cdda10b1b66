"""How far samples have been sent again, in a file, so that it can be gone on with."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyflink_prometheus.rescue.refused_files import Span

_VERSION = 1


@dataclass
class ResendProgress:
    """
    How far samples have been sent again.

    Samples are read in an order that only the files determine, so their number says which ones are done.

    :ivar endpoint: the URL, without credentials.
    :ivar spans: the files, and which part of each is being sent.
    :ivar taken: how many bytes of each file need not be read any more.
    :ivar samples: how many samples there are.
    :ivar done: how many have been sent and answered.
    :ivar accepted: how many of them are stored.
    :ivar refused: how many are not, by why.
    """

    endpoint: str
    spans: dict[str, Span] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    done: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def begin(self, spans: dict[str, Span]) -> None:
        """Begin with files, or what is new in them."""
        self.spans, self.samples, self.done, self.accepted, self.refused = spans, 0, 0, 0, Counter()

    def finish(self) -> None:
        """Remember that these files are done."""
        self.taken.update({name: stop for name, (_, stop) in self.spans.items()})
        self.spans = {}

    def save(self, path: Path) -> None:
        """Replace the file as a whole, so that it is never half-written."""
        unfinished = path.with_name(f"{path.name}.unfinished")
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump({"version": _VERSION, **vars(self)}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)

    @staticmethod
    def load(path: Path) -> ResendProgress | None:
        """
        Return what a file holds; ``None`` if there is none.

        :raises ValueError: if it is not such a file.
        """
        try:
            read: Any = json.loads(path.read_text(encoding="utf-8"))
            if read.pop("version") != _VERSION:
                raise ValueError
            read["spans"] = {name: (int(start), int(stop)) for name, (start, stop) in read["spans"].items()}
            return ResendProgress(**{**read, "refused": Counter(read["refused"])})
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(
                f"name another file, or delete it: {path} does not hold the progress of this command"
            ) from None

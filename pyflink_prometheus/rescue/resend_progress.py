"""How far samples have been sent again, in a file, so that it can be gone on with."""

from __future__ import annotations

import hashlib
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
    :ivar content: the digest of the samples in them.
    :ivar taken: how many bytes of each file need not be read any more.
    :ivar samples: how many samples there are.
    :ivar done: how many have been sent and answered.
    :ivar accepted: how many of them are stored.
    :ivar refused: how many are not, by why.
    """

    endpoint: str
    spans: dict[str, Span] = field(default_factory=dict)
    content: str = ""
    taken: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    done: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def begin(self, spans: dict[str, Span], samples: int, content: str) -> None:
        """Begin with files, or what is new in them."""
        self.spans, self.samples, self.content = spans, samples, content
        self.done, self.accepted, self.refused = 0, 0, Counter()

    def finish(self) -> None:
        """Remember that these files are done."""
        self.taken.update({name: stop for name, (_, stop) in self.spans.items()})
        self.spans = {}

    def save(self, path: Path) -> None:
        """Replace the file as a whole, so that it is never half-written."""
        unfinished = path.with_name(f"{path.name}.unfinished")
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump({"version": _VERSION, **vars(self), "digest": _digest(vars(self))}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)

    @staticmethod
    def load(path: Path) -> ResendProgress | None:
        """
        Return what a file holds; ``None`` if there is none.

        :raises ValueError: if it is not such a file, or something else has changed it.
        :raises OSError: if it cannot be read.
        """
        try:
            read: Any = json.loads(path.read_text(encoding="utf-8"))
            if read.pop("version") != _VERSION or read.pop("digest") != _digest(read):
                raise ValueError
            read["spans"] = {name: (start, stop) for name, (start, stop) in read["spans"].items()}
            return ResendProgress(**{**read, "refused": Counter(read["refused"])})
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise ValueError(
                f"name another file, or delete it to begin again: {path} does not hold this command's progress, or "
                "is damaged"
            ) from None


def _digest(content: dict[str, Any]) -> str:
    """Return a digest of what a file holds; a changed number would skip samples that have not been sent."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()

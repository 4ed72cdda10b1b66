"""The progress of resending samples, in a file, so that a later run can continue."""

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
    The progress of resending samples.

    Only the files determine the order in which samples are read, so the number of samples done says which ones.

    :ivar endpoint: the endpoint's URL, without credentials.
    :ivar spans: the files, and which part of each is being sent.
    :ivar content: the digest of the samples in them.
    :ivar taken: how many bytes of each file do not have to be read again.
    :ivar samples: how many samples there are.
    :ivar done: how many have been sent and got a response.
    :ivar accepted: how many of them are stored.
    :ivar refused: how many are not, by cause.
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
        Return the progress in a file; ``None`` if there is no file.

        :raises ValueError: if it is not a progress file, or something else has changed it.
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
                f"name another file, or delete it to start over: {path} does not hold this command's progress, or is "
                "damaged"
            ) from None


def _digest(content: dict[str, Any]) -> str:
    """Return a digest of a file's content; a changed number would skip samples that have not been sent."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()

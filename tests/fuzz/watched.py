"""A fuzzing case: its resources, everything that it reveals, and its run under a watchdog."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from shown_by import shown_by

#: After this many seconds a case counts as hanging. Each takes a few seconds at most, even on a busy machine.
HANGS_AFTER_S = 120.0
#: The part of a secret that must not be visible: this many characters in a row, from its beginning.
PIECE = 12


class Case:
    """
    One case.

    :ivar rng: decides everything; the same for the same seed, target and number.
    :ivar folder: the case's own empty folder.
    :ivar done: counts events, for the report.
    :ivar problems: the problems, besides raised errors.
    """

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.folder = folder
        self.done: Counter[str] = Counter()
        self._secrets: list[str] = []
        self._shown: list[str] = []
        self.problems: list[str] = []

    def check(self, is_so: bool, problem: str) -> None:
        """Record a problem, if there is one."""
        if not is_so:
            self.problems.append(f"it says: {problem!r}")

    def plant(self, *secrets: str) -> None:
        """Register secrets that nothing may show."""
        self._secrets += secrets

    def show(self, *texts: str) -> None:
        """Record visible text."""
        self._shown += texts

    def show_error(self, error: BaseException) -> None:
        """Record everything that an exception shows."""
        self.show(*shown_by(error))

    def leaks(self) -> list[str]:
        """Return the visible texts that show a secret."""
        pieces = {secret[:PIECE] for secret in self._secrets}
        return [text for text in self._shown if any(piece in text for piece in pieces)]


Target = Callable[[Case], None]


def run(target: Target, name: str, seed: int, number: int) -> tuple[str, Counter[str]]:
    """Run a case; return its problem, "" if there is none, and its events."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        # A text as the seed means the same in each Python and each process.
        case = Case(random.Random(f"{seed} {name} {number}"), folder)
        return _watched(target, case), case.done
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watched(target: Target, case: Case) -> str:
    problem: list[str] = []

    def work() -> None:
        try:
            target(case)
        except BaseException:
            problem.append(traceback.format_exc())

    before = set(threading.enumerate())
    with _all_output(case):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        deadline = time.monotonic() + HANGS_AFTER_S
        while remaining := [each for each in threading.enumerate() if each not in before]:
            if (left_s := deadline - time.monotonic()) <= 0:
                return f"hangs:\n{_stacks(remaining)}"
            remaining[0].join(min(left_s, 1.0))
    for path in sorted(case.folder.rglob("*")):
        if path.is_file():
            case.show(path.read_bytes().decode(errors="replace"))
    problem += case.problems
    problem += [f"shows a secret:\n{text[:3000]}" for text in case.leaks()[:3]]
    return "\n".join(problem)


def _stacks(threads: list[threading.Thread]) -> str:
    frames = sys._current_frames()
    found = [(each, frames.get(each.ident or 0)) for each in threads]
    return "\n".join(f"{each.name}\n{''.join(traceback.format_stack(frame))}" for each, frame in found if frame)


class _Texts(logging.Handler):
    """A log handler that keeps everything logged by this package and its libraries."""

    def __init__(self, case: Case) -> None:
        super().__init__(logging.DEBUG)
        self._case = case

    def emit(self, record: logging.LogRecord) -> None:
        self._case.show(record.getMessage(), repr(record.args), repr(vars(record)))
        if record.exc_info and record.exc_info[1] is not None:
            self._case.show_error(record.exc_info[1])


@contextlib.contextmanager
def _all_output(case: Case) -> Iterator[None]:
    """Capture logs, output and warnings meanwhile."""
    root, handler = logging.getLogger(), _Texts(case)
    level, own = root.level, root.handlers[:]
    printed = io.StringIO()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = own
        root.setLevel(level)
        case.show(printed.getvalue())

"""Ask several checks in turn, and keep for a key what each of them keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from pyflink_prometheus.transforms.checks import Check


class Judgement(NamedTuple):
    """
    Hold what came of judging an event.

    :param rejected_by: the name of the first check that rejected it, ``None`` if all accept it.
    :param reason: in words, for a person.
    :param state: what to keep for the key.
    """

    rejected_by: Optional[str]
    reason: str
    state: Any


class Checks:
    """
    Judge events by several checks; one that is rejected by the first is not shown to those behind it.

    :param checks: one or more, whose names differ.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = tuple(checks)
        if not self.checks:
            raise ValueError("checks: expected one or more, such as Threshold(value, max=...)")
        for check in self.checks:
            if not callable(getattr(check, "judge", None)):
                raise TypeError(f"checks: expected a Threshold, Hampel, SpeedGate or the like, got {check!r}")
        names = [check.name for check in self.checks]
        if len(set(names)) < len(names):
            raise ValueError(f"checks: expected a different name for each, got {names}: give name=...")
        self.names = names
        self.keeps_state = any(check.keeps_state for check in self.checks)
        self.needs_timestamp = any(check.needs_timestamp for check in self.checks)

    def judge(self, event: Any, timestamp: int, state: Any) -> Judgement:
        """
        Judge one event.

        :param state: what was kept after the event before, ``None`` if there was none: by name, for those that keep
            anything, so that checks may be added and removed between two runs of a job.
        """
        kept = dict(state or {})
        for check in self.checks:
            reason, new = check.judge(event, timestamp, kept.get(check.name))
            if new is not None:
                kept[check.name] = new
            if reason is not None:
                return Judgement(check.name, f"{check.name}: {reason}", kept)
        return Judgement(None, "", kept)

"""Several checks in turn, with the state of each for one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyflink_prometheus.transforms.checks import Check


class Judgement(NamedTuple):
    """
    The verdict on one event.

    :param rejected_by: the name of the first check that rejected it, ``None`` if all accepted it.
    :param reason: the reason, for people to read; empty if accepted.
    :param state: the new state of the key.
    """

    rejected_by: str | None
    reason: str
    state: Any


class Checks:
    """
    Several checks in a row; an event that one of them rejects does not reach the next.

    :param checks: one or more, with different names.
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
            raise ValueError(f"checks: expected a different name for each, got {names}: set name=...")
        self.names = names
        self.keeps_state = any(check.keeps_state for check in self.checks)
        self.needs_timestamp = any(check.needs_timestamp for check in self.checks)

    def judge(self, event: Any, timestamp: int, state: Any) -> Judgement:
        """
        Check one event.

        :param state: the state that the previous event returned, ``None`` for the first one. State is kept by the name
            of the check, so that checks can be added and removed between two runs of a job.
        """
        kept = dict(state or {})
        for check in self.checks:
            reason, new = check.judge(event, timestamp, kept.get(check.name))
            if new is not None:
                kept[check.name] = new
            if reason is not None:
                return Judgement(check.name, f"{check.name}: {reason}", kept)
        return Judgement(None, "", kept)

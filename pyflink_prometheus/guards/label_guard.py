"""The guard of a series' labels: how many, and how long."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from pyflink_prometheus._validation import shown
from pyflink_prometheus.guards.guard import Findings, Guard, SeriesRefused
from pyflink_prometheus.guards.limits import HASH_BYTES, SendingLimits, TooLong
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL


class LabelGuard:
    """
    A check of labels.

    :param limits: the limits to check.
    :param findings: counts the findings.
    """

    def __init__(self, limits: SendingLimits, findings: Findings) -> None:
        self._limits = limits
        self._findings = findings

    def checked(self, labels: Mapping[str, str]) -> dict[str, str]:
        """
        Return the labels as they may be sent.

        :param labels: the labels including ``__name__``. Not changed.
        :raises SeriesRefused: if they may not be sent.
        """
        found = {}
        for name, value in labels.items():
            sent = self._checked_label(name, value)
            if sent is not None:
                found[name] = sent
        most = self._limits.max_labels
        if most is not None and len(found) > most:
            self._refuse(Guard.LABELS, f"{labels.get(METRIC_NAME_LABEL)!r} has {len(found)} labels")
        return found

    def _checked_label(self, name: str, value: str) -> str | None:
        """Return a label's value, ``None`` if the label is dropped."""
        limits = self._limits
        if name == METRIC_NAME_LABEL:
            if _is_longer(value, limits.max_metric_name_bytes):
                self._refuse(Guard.METRIC_NAME, f"metric {shown(value)} is {_too_long(value)}")
            return value
        if _is_longer(name, limits.max_label_name_bytes):
            message = f"the name of label {shown(name)} is {_too_long(name)}"
            if self._applies(limits.on_long_label_name, Guard.LABEL_NAME, message):
                return None
        if limits.max_label_value_bytes is not None and _is_longer(value, limits.max_label_value_bytes):
            message = f"the value of label {shown(name)}, {shown(value)}, is {_too_long(value)}"
            if self._applies(limits.on_long_label_value, Guard.LABEL_VALUE, message):
                dropped = limits.on_long_label_value is TooLong.DROP_LABEL
                return None if dropped else _cut(value, limits.max_label_value_bytes)
        return value

    def _applies(self, policy: TooLong, guard: Guard, message: str) -> bool:
        """Count a finding, and return whether the policy changes the label."""
        if policy is TooLong.REFUSE:
            self._refuse(guard, message)
            return False
        what = "the label is dropped" if policy is TooLong.DROP_LABEL else "the value is cut"
        self._add(guard, message, what)
        return not self._limits.track_only

    def _refuse(self, guard: Guard, message: str) -> None:
        self._add(guard, message, "the series is refused")
        if not self._limits.track_only:
            raise SeriesRefused(guard, f"labels: {message}, over {guard.value}={getattr(self._limits, guard.value)}")

    def _add(self, guard: Guard, message: str, consequence: str) -> None:
        consequence = "it is sent, because track_only is set" if self._limits.track_only else consequence
        self._findings.add(
            guard, f"shorten it, or raise {guard.value}={getattr(self._limits, guard.value)}: {message}; {consequence}"
        )


def _is_longer(text: str, most: int | None) -> bool:
    if most is None or len(text) * 4 <= most:
        return False
    return len(text.encode("utf-8")) > most


def _too_long(text: str) -> str:
    return f"{len(text.encode('utf-8'))} bytes long"


def _cut(value: str, most: int) -> str:
    """Return the beginning of a value with a hash of the whole value, in at most this many bytes."""
    encoded = value.encode("utf-8")
    digest = blake2b(encoded, digest_size=HASH_BYTES // 2).hexdigest()
    return f"{encoded[: most - HASH_BYTES - 1].decode('utf-8', errors='ignore')}-{digest}"

"""All guards of one writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyflink_prometheus.guards.guard import Findings, Guard
from pyflink_prometheus.guards.label_guard import LabelGuard
from pyflink_prometheus.guards.limits import SendingLimits
from pyflink_prometheus.guards.new_series import NewSeriesGuard
from pyflink_prometheus.guards.quota import Quota


class Guards:
    """
    The guards that the limits require.

    :param limits: the limits of this writer; see :meth:`SendingLimits.share_of`.
    :param monotonic: returns seconds that never go back.
    """

    def __init__(self, limits: SendingLimits, monotonic: Callable[[], float]) -> None:
        self.limits = limits
        self._findings = Findings(monotonic)
        self._labels = LabelGuard(limits, self._findings)
        self._new_series = NewSeriesGuard(limits, self._findings, monotonic)
        self._quota = Quota(limits, self._findings, monotonic)

    @property
    def counts(self) -> dict[Guard, int]:
        """How often each guard has found something, even if it only tracks."""
        return self._findings.counts

    def admit(self, labels: Mapping[str, str], tenant: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
        """
        Return the labels of a series as they may be sent; on the caller's thread, whenever a series is newly looked up.

        :param labels: the labels after relabelling, including ``__name__``. Not changed.
        :param tenant: the tenant of the series: each tenant has its own series.
        :raises SeriesRefused: if the series may not be sent, for now or for good.
        """
        checked = self._labels.checked(labels)
        self._new_series.check(checked, tenant)
        return checked

    def reserve(self, samples: int, size_in_bytes: int) -> float:
        """Return how many seconds to wait before a request is sent; on any thread. See :meth:`Quota.reserve`."""
        return self._quota.reserve(samples, size_in_bytes)

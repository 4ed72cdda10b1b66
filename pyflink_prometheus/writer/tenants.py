"""The tenants of a receiver: which one a series belongs to, and what is counted for each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.config import check_header, header_problem
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.writer.ledger import Ledger

#: Where the value of a header comes from: a label by its name, or a function of all labels including ``__name__``. The
#: function is called on the worker, once for each series, and returns ``None`` or "" for no header.
TenantSource = str | Callable[[dict[str, str]], str | None]

#: The names in metrics for samples without a tenant, and for all tenants that are not counted separately.
NO_TENANT, OTHER_TENANTS = "(none)", "(others)"


@dataclass(frozen=True)
class TenantConfiguration:
    """
    The headers that name a series' tenant to the receiver.

    A series without the label gets no header of its own; one of ``set_http_headers`` then serves as the default.

    :param headers: where the value of each header comes from, such as ``{"X-Scope-OrgID": "tenant"}`` for a label.
    :param keep_labels: whether the labels that these values come from are also sent. Default: no.
    :param max_counted_tenants: how many tenants have their own counters in each subtask, in the order in which they
        appear; all others are counted together. Default 20.
    :raises ValueError: if a header or a number is not valid.
    :raises TypeError: if a setting has the wrong type.
    """

    headers: Mapping[str, TenantSource]
    keep_labels: bool = False
    max_counted_tenants: int = 20

    def __post_init__(self) -> None:
        if not isinstance(self.headers, Mapping) or not self.headers:
            raise TypeError(f"tenant: expected a mapping from headers to labels, got {shown(self.headers)}")
        for name, source in self.headers.items():
            _check_name(name)
            if not callable(source):
                _validation.line("tenant", source)
        object.__setattr__(self, "headers", dict(self.headers))
        _validation.instance("keep_labels", self.keep_labels, bool)
        _validation.integer("max_counted_tenants", self.max_counted_tenants, least=0)

    def split(self, labels: dict[str, str]) -> tuple[Tenant, dict[str, str]]:
        """
        Return the tenant of a series, and the labels with which it is sent.

        :param labels: all labels including ``__name__``. Not changed.
        :raises InvalidTimeSeriesError: if a value cannot be sent in a header.
        :raises TypeError: if a function returns something other than text.
        """
        tenant = []
        for name, source in self.headers.items():
            value = source(dict(labels)) if callable(source) else labels.get(source)
            if not value:
                continue
            if not isinstance(value, str):
                raise TypeError(f"tenant: return a str or None for the header {name}, got {shown(value)}")
            problem = header_problem(value)
            if problem is not None:
                raise InvalidTimeSeriesError("tenant", f"the value of the header {name}, {shown(value)}, {problem}")
            tenant.append((name, value))
        if self.keep_labels:
            return tuple(tenant), labels
        used = {source for source in self.headers.values() if source != METRIC_NAME_LABEL}
        return tuple(tenant), {name: text for name, text in labels.items() if name not in used}


class TenantLedgers:
    """
    The ledgers of the tenants that are counted separately. For any number of threads.

    They count what becomes of samples and requests once these are sent to a tenant; ``samples_in`` stays 0.

    :param most: how many tenants have their own ledger.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._ledgers: dict[str, Ledger] = {}

    def of(self, tenant: Tenant) -> Ledger:
        """Return the ledger of a tenant, or the one that the rest share."""
        name = ":".join([value for _, value in tenant]) or NO_TENANT
        with self._lock:
            ledger = self._ledgers.get(name)
            if ledger is None:
                if name != NO_TENANT and len(self._ledgers.keys() - {OTHER_TENANTS, NO_TENANT}) >= self._most:
                    name = OTHER_TENANTS
                ledger = self._ledgers.setdefault(name, Ledger())
            return ledger

    def all(self) -> dict[str, Ledger]:
        """Return all ledgers, by the tenants' names in metrics."""
        with self._lock:
            return dict(self._ledgers)


def _check_name(header: object) -> None:
    try:
        check_header(header, "")
    except (TypeError, ValueError) as error:
        raise type(error)(f"tenant: {str(error).partition(': ')[2]}") from None

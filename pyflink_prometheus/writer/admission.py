"""The decision whether and how a series is sent; made once per series, on the caller's thread."""

from __future__ import annotations

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, LabelPairs, series_key
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.wire.series import Series, Tenant
from pyflink_prometheus.writer.tenants import TenantConfiguration


class Admission:
    """
    The tenant for which a series is sent, and its labels, if it is sent at all.

    :param relabelling: external labels and rules, which come first.
    :param guards: limits on series, which apply to the labels that are sent.
    :param tenants: decides the tenant of a series; ``None`` if all series belong to one tenant.
    """

    def __init__(self, relabelling: Relabelling, guards: Guards, tenants: TenantConfiguration | None = None) -> None:
        self._relabelling = relabelling
        self._tenants = tenants
        self._guards = guards if guards.limits.limit_series else None

    def admit(self, labels: LabelPairs) -> tuple[LabelPairs, Tenant] | None:
        """
        Return the labels that are sent for a series, and its tenant; ``None`` if the configuration excludes it.

        :param labels: all labels including ``__name__``, sorted by name.
        :raises InvalidTimeSeriesError: if the rules leave nothing that can be sent, or the tenant cannot be named.
        :raises SeriesRefused: if the series exceeds a limit.
        """
        sent = dict(labels)
        if self._relabelling:
            changed = self._relabelling.apply(sent)
            if changed is None:
                return None
            sent = changed
            if not sent.get(METRIC_NAME_LABEL):
                raise InvalidTimeSeriesError(
                    "write_relabel_configs",
                    f"keep the label __name__, which the rules remove from {series_key(labels)}",
                )
        tenant: Tenant = ()
        if self._tenants is not None:
            tenant, sent = self._tenants.split(sent)
        if self._guards is not None:
            sent = self._guards.admit(sent, tenant)
        return tuple(sorted(sent.items())), tenant

    def renew(self, series: Series) -> None:
        """
        Note that a series is still in use, so that it does not become new again.

        :raises SeriesRefused: if it counts as new nevertheless and exceeds a limit.
        """
        if self._guards is not None:
            self._guards.admit(dict(series.labels), series.tenant)

    @property
    def changes_labels(self) -> bool:
        """Whether two series may get the same labels."""
        return bool(self._relabelling) or self._guards is not None or self._tenants is not None

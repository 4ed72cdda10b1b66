"""A handler of rejected samples that remembers its notifications."""

from __future__ import annotations

from collections import Counter

from pyflink_prometheus import PrometheusTimeSeries, RejectionReason


class Rejections(list):
    """A record of the handler's notifications."""

    def __call__(self, rejected):
        self.extend(rejected)

    @property
    def count(self):
        return sum(each.count for each in self)

    @property
    def named(self):
        """The samples that were reported individually, with their counts."""
        return Counter(sample for each in self if each.record is not None for sample in samples_of(each.record))

    @property
    def unconfirmed(self):
        """The individually reported samples whose fate the writer says it does not know."""
        chosen = Rejections(each for each in self if each.reason is RejectionReason.UNCONFIRMED)
        return set(chosen.named)

    @property
    def candidates(self):
        """The samples of rejections that say that some samples were rejected, but not which."""
        return {sample for each in self for series in each.candidates for sample in samples_of(series)}


def samples_of(series):
    """Return a series' samples as models name them; the writer sorts labels, and may give them as a dict."""
    labels = series.labels.items() if isinstance(series.labels, dict) else series.labels
    key = PrometheusTimeSeries(series.metric_name, tuple(labels), ()).key()
    return [(key, value, timestamp) for value, timestamp, *_ in series.samples]

"""Reports of devices, including a few that no receiver accepts, and the samples that a receiver stores of them."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import dataclass

from pyflink_prometheus import PrometheusTimeSeries, RemoteWriteVersion
from pyflink_prometheus.testing import ReceivedRequest

BATCH = 2_000
#: When the devices begin; the receivers' present is a few minutes later.
BEGAN = 1_700_000_000_000
NOW = BEGAN + 15 * 60_000
HOUR = 3_600_000

LATE, TOO_OLD, TOO_NEW, CONFLICT = "late", "too old", "too new", "conflict"
LABELS, LONG_VALUE, INFINITE = "labels", "long value", "infinite"
#: The samples that Prometheus's storage rejects wherever it is embedded, and those that only some receivers reject.
BY_TIME = (LATE, TOO_OLD, CONFLICT)
ALL_KINDS = (*BY_TIME, TOO_NEW, LABELS, LONG_VALUE)


@dataclass(frozen=True)
class Sent:
    """
    One record of one sample, on its way to a writer.

    :ivar poison: the kind of poison, ``None`` for a good sample.
    """

    record: PrometheusTimeSeries
    poison: str | None = None

    @property
    def sample(self):
        """The sample as models and the decoding receivers name it."""
        ((value, timestamp, *_),) = self.record.samples
        return self.record.key(), value, timestamp

    @property
    def timestamp(self):
        return self.record.samples[0][1]


def workload(samples_a_series, *, kinds=ALL_KINDS, poison=0.01, batches=3, seed=0, batch=BATCH, began=BEGAN, now=NOW):
    """
    Return a writer's input: in each batch this many samples of each series, in turn, with poison among them.

    The first batch holds no poison, because samples are late or conflicting only compared with earlier stored ones.
    """
    rng = random.Random(seed)
    series = batch // samples_a_series
    sent = []
    for number in range(batches * batch):
        turn, device = divmod(number, series)
        sent.append(Sent(record(device, float(number), began + turn * 10_000 + device)))
    places = rng.sample(range(batch, len(sent)), round(poison * len(sent)))
    for number, place in enumerate(sorted(places)):
        kind = kinds[number % len(kinds)]
        sent[place] = Sent(_poisoned(kind, place, sent[place], sent[place % series], began, now), kind)
    return sent


def record(device, value, timestamp, **labels):
    return PrometheusTimeSeries("m", (("device", f"d{device:04}"), *labels.items()), ((value, timestamp),))


def _poisoned(kind, number, instead_of, first_of_series, began, now):
    """Return poison in the place of a good record; its value is the number, which is unique."""
    labels = instead_of.record.labels
    if kind == LATE:
        return instead_of.record._replace(samples=((float(number), began - 60_000 - number),))
    if kind == CONFLICT:  # with the newest stored sample of its series, which is the series' first
        return first_of_series.record._replace(samples=((float(number), first_of_series.timestamp),))
    if kind == TOO_OLD:
        return PrometheusTimeSeries("old", labels, ((float(number), now - 3 * HOUR - number),))
    if kind == TOO_NEW:
        return PrometheusTimeSeries("new", labels, ((float(number), now + HOUR + number),))
    if kind == LABELS:
        many = tuple((f"l{each:02}", "x") for each in range(45))
        return PrometheusTimeSeries("labels", (*labels, *many), instead_of.record.samples)
    if kind == LONG_VALUE:
        return PrometheusTimeSeries("long", (*labels, ("text", "x" * 5_000)), instead_of.record.samples)
    if kind == INFINITE:
        return instead_of.record._replace(samples=((math.inf, instead_of.timestamp),))
    raise ValueError(kind)


def stored_alone(model, sent, version, batch=BATCH):
    """
    Return what a receiver stores if it gets every sample on its own, in the writer's order: all that it would accept.

    The writer sorts the samples that it holds, a batch, by time.
    """
    alone = copy.deepcopy(model)
    for start in range(0, len(sent), batch):
        for each in sorted(sent[start : start + batch], key=lambda each: each.timestamp):
            alone(ReceivedRequest({}, [each.record], version))
    return set(alone.stored)


def seed(model, version, now=NOW):
    """Give the receiver what a running one already has: a sample from the present, of another series."""
    model(ReceivedRequest({}, [PrometheusTimeSeries("up", (), ((1.0, now),))], version))


V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO

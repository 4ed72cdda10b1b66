"""What devices report, with a little of it that no receiver takes, and what a receiver makes of it sample by sample."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import dataclass

from pyflink_prometheus import PrometheusTimeSeries, RemoteWriteVersion
from pyflink_prometheus.testing import ReceivedRequest

BATCH = 2_000
#: When the devices begin; the receivers' present is some minutes later.
BEGAN = 1_700_000_000_000
NOW = BEGAN + 15 * 60_000
HOUR = 3_600_000

LATE, TOO_OLD, TOO_NEW, CONFLICT = "late", "too old", "too new", "conflict"
LABELS, LONG_VALUE, INFINITE = "labels", "long value", "infinite"
#: What Prometheus's storage refuses wherever it is embedded, and what only some receivers do.
BY_TIME = (LATE, TOO_OLD, CONFLICT)
ALL_KINDS = (*BY_TIME, TOO_NEW, LABELS, LONG_VALUE)


@dataclass(frozen=True)
class Sent:
    """
    One record of one sample, on its way to a writer.

    :ivar poison: of which kind of poison it is, ``None`` for a good one.
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
    Return what goes into a writer: in each batch so many samples of each series, in turns, and poison among them.

    The first batch holds none: what is late or in conflict is so in regard to what was stored before.
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
    """Return poison in the place of a good record; its value is the number, which nothing else has."""
    labels = instead_of.record.labels
    if kind == LATE:
        return instead_of.record._replace(samples=((float(number), began - 60_000 - number),))
    if kind == CONFLICT:  # with the newest of its series that is there already, which is its first one
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
    Return what a receiver stores if it gets every sample alone, in the writer's order: that is what it would accept.

    The writer sorts by time what it has in hand, which is a batch.
    """
    alone = copy.deepcopy(model)
    for start in range(0, len(sent), batch):
        for each in sorted(sent[start : start + batch], key=lambda each: each.timestamp):
            alone(ReceivedRequest({}, [each.record], version))
    return set(alone.stored)


def seed(model, version, now=NOW):
    """Give the receiver what one that runs already has: something from the present, of others."""
    model(ReceivedRequest({}, [PrometheusTimeSeries("up", (), ((1.0, now),))], version))


V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO

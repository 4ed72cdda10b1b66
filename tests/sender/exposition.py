"""
Read a page of metrics, in Prometheus's text format 0.0.4 or in OpenMetrics 1.0, into records for the sink.

The parsers come from ``prometheus_client``. Both insist that a counter's samples have its name and ``_total``: one
adds it, the other refuses the page. Prometheus takes the names as they are, so pages are adapted for the parsers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pyflink_prometheus import Exemplar, Metadata, PrometheusTimeSeries

OPEN_METRICS = "application/openmetrics-text"
_COUNTER = re.compile(r"^(\s*#\s+TYPE\s+(.+?)\s+)counter\s*?$", re.MULTILINE)
_NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*", re.MULTILINE)


class Line(NamedTuple):
    """
    One sample of a page.

    :param record: the sample with everything that belongs to it.
    :param timed: whether the page has its timestamp.
    """

    record: PrometheusTimeSeries
    timed: bool


def parse(text: str, content_type: str, scraped_at_ms: int) -> list[Line]:
    """
    Return the samples on a page, in their order.

    :param content_type: the header of the page's response, which says which of the two formats it is.
    :param scraped_at_ms: the timestamp of samples and exemplars without one.
    :raises ValueError: if the page cannot be read.
    """
    families = _open_metrics(text) if content_type.startswith(OPEN_METRICS) else _text(text)
    try:
        return [line for family in families for line in _lines(family, scraped_at_ms)]
    except Exception as error:  # for some malformed pages, the parsers raise a KeyError or an OverflowError
        raise ValueError(f"the page cannot be read: {error!r}") from error


def _text(text: str) -> Iterator[Metric]:
    """Give counters a type that this format does not have, because its parser would add ``_total`` to their names."""
    for family in parse_text(_COUNTER.sub(r"\1stateset", text)):
        family.type = "counter" if family.type == "stateset" else family.type
        yield family


def _open_metrics(text: str) -> Iterator[Metric]:
    """Add ``_total`` to samples of counters without it, because the parser would refuse the page."""
    names = set(_NAME.findall(text))
    bare = {name for _, name in _COUNTER.findall(text) if name in names and f"{name}_total" not in names}
    for family in parse_open_metrics(_NAME.sub(lambda name: name[0] + "_total" * (name[0] in bare), text)):
        if family.name in bare:
            family.samples = [each._replace(name=each.name.removesuffix("_total")) for each in family.samples]
        yield family


def _lines(family: Metric, scraped_at_ms: int) -> Iterator[Line]:
    metadata = Metadata(family.type, family.documentation, family.unit)
    created = f"{family.name}_created"
    started = {_shared(each.labels): _ms(each.value) for each in family.samples if each.name == created}
    for each in family.samples:
        if each.name == created:
            continue
        labels = {} if each.labels is None else each.labels
        sample = (float(each.value), _ms(each.timestamp, scraped_at_ms), started.get(_shared(labels)))
        exemplars = () if each.exemplar is None else (_exemplar(each.exemplar, scraped_at_ms),)
        yield Line(PrometheusTimeSeries(each.name, labels, (sample,), metadata, exemplars), each.timestamp is not None)


def _shared(labels: dict[str, str]) -> object:
    """Return the identity that all series of one histogram or summary share."""
    return frozenset((name, value) for name, value in labels.items() if name not in ("le", "quantile"))


def _ms(seconds: Any, default: int = 0) -> int:
    return default if seconds is None else round(float(seconds) * 1000)


def _exemplar(exemplar: Any, scraped_at_ms: int) -> Exemplar:
    return Exemplar(exemplar.labels, float(exemplar.value), _ms(exemplar.timestamp, scraped_at_ms))

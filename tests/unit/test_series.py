"""The cache of series: hits, one encoding per series, and bounded memory."""

from __future__ import annotations

import weakref

import pytest
import snappy
from batches import append

from pyflink_prometheus import InvalidTimeSeriesError, RemoteWriteVersion
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.testing import decode_request
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request
from pyflink_prometheus.wire.request import encode, headers_of
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.batch import FillingBatch
from pyflink_prometheus.writer.series_cache import USUAL_SIZE, SeriesCache


def test_the_same_labels_find_the_same_series():
    cache = SeriesCache(10)
    assert cache.get("m", {"a": "1", "b": "2"}) is cache.get("m", {"a": "1", "b": "2"})
    assert cache.get("m", (("a", "1"),)) is cache.get("m", [("a", "1")])


def test_labels_in_another_order_are_the_same_series_on_the_wire():
    cache = SeriesCache(10)
    one, other = cache.get("m", {"a": "1", "b": "2"}), cache.get("m", {"b": "2", "a": "1"})
    assert (one.head, one.hash, one.labels) == (other.head, other.hash, other.labels)


def test_names_and_values_are_not_mixed_up():
    cache = SeriesCache(10)
    heads = {
        cache.get("m", {"a": "b", "c": "d"}).head,
        cache.get("m", {"a": "c", "b": "d"}).head,
        cache.get("a", {"m": "b", "c": "d"}).head,
        cache.get("m", {"a": "b"}).head,
        cache.get("m", {}).head,
        cache.get("m", (("a", "bc"),)).head,
    }
    assert len(heads) == 6


def test_labels_that_count_as_absent_leave_the_others_in_their_place():
    cache = SeriesCache(10)
    series = [cache.get("m", labels) for labels in ({"b": "", "a": "1"}, {"a": "2"}, (("b", ""), ("a", "3")))]
    assert [each.labels[1:] for each in series] == [(("a", "1"),), (("a", "2"),), (("a", "3"),)]


def test_labels_are_read_back_from_the_bytes():
    labels = canonical_labels("m", {"ü": "é" * 200, "a": "1"})
    assert Series(labels).labels == labels


def test_a_refused_series_is_refused_every_time():
    cache = SeriesCache(10)
    for _ in range(2):
        with pytest.raises(InvalidTimeSeriesError):
            cache.get("m", {"": "1"})


@pytest.mark.parametrize("labels", [{"a": ["unhashable"]}, None])
def test_what_cannot_be_a_key_is_still_checked(labels):
    with pytest.raises(InvalidTimeSeriesError, match="^labels: "):
        SeriesCache(10).get("m", labels)


def test_pairs_that_are_lists_work_too():
    assert SeriesCache(10).get("m", [["a", "1"]]).labels == (("__name__", "m"), ("a", "1"))


def test_memory_is_bounded_and_the_latest_used_stay():
    cache = SeriesCache(100)
    favourite = cache.get("m", {"i": "favourite"})
    for number in range(1000):
        cache.get("m", {"i": str(number)})
        assert cache.get("m", {"i": "favourite"}) is favourite
        assert len(cache) <= 100


def test_series_with_long_labels_count_as_several():
    """So that the cached texts are also bounded in bytes."""

    class Text(str):
        """A text that shows whether it is still alive."""

    cache = SeriesCache(100)
    alive: weakref.WeakSet[Text] = weakref.WeakSet()
    for number in range(200):
        text = Text(f"{number:03}" + 20 * USUAL_SIZE * "x")
        alive.add(text)
        series = cache.get("m", {"a": text, "b": "1"})
        del text
        assert cache.get("m", {"a": f"{number:03}" + 20 * USUAL_SIZE * "x", "b": "1"}) is series
        assert len(cache) <= 5
        assert len(alive) <= 6
    for number in range(100):
        cache.get("m", {"a": f"{number}"})
    assert len(cache) > 50  # ordinary series count as one


@pytest.mark.parametrize("version", [RemoteWriteVersion.V1, RemoteWriteVersion.V2])
def test_samples_of_one_series_that_comes_in_several_forms_stand_together(version):
    cache = SeriesCache(100)
    others = [cache.get("m", {"a": str(number)}) for number in range(2)]
    forms = [
        cache.get("m", {"a": "1", "b": "2"}),
        cache.get("m", {"b": "2", "a": "1"}),
        cache.get("m", {"c": "", "b": "2", "a": "1"}),
        cache.get("m", (("a", "1"), ("b", "2"))),
        cache.get("m", {"a": "1", "b": "2"}, ("gauge", "helps", "s")),
    ]
    filling = FillingBatch(cache.table)
    for timestamp, each in enumerate([*forms, *others, *forms]):
        append(filling, each.number, timestamp + 1, 1.0)
    batch = filling.take(len(filling)).in_order().batch
    request = decode_request(encode(batch, version).body, headers_of(version))
    assert sorted(len(each.samples) for each in request.series) == [1, 1, 10]
    if version is RemoteWriteVersion.V2:
        (metadata,) = [each.metadata for each in request.series if each.metadata]
        assert metadata == ("gauge", "helps", "s")


def test_symbols_are_not_repeated_even_if_they_come_again_after_many_others():
    cache = SeriesCache(100_000)
    first = cache.get("m", {"a": "first"})
    for number in range(40_000):
        cache.get("n", {"b": str(number)})
    again = cache.get("m", {"c": "first"})
    filling = FillingBatch(cache.table)
    for each in (first, again):
        append(filling, each.number, 1, 1.0)
    body = encode(filling.take(2), RemoteWriteVersion.V2).body
    request = Request.FromString(snappy.uncompress(body))
    assert sorted(request.symbols) == ["", "__name__", "a", "c", "first", "m"]
    assert [each.labels for each in decode_request(body, headers_of(RemoteWriteVersion.V2)).series] == [
        (("a", "first"),),
        (("c", "first"),),
    ]

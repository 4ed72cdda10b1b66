"""The symbol table. 2.0: "Symbols", "Protobuf Message"; 1.0 has none."""

from __future__ import annotations

import random

import pytest
import snappy
from wire_receiver import V2, T

from pyflink_prometheus import Exemplar, Metadata, NativeHistogram
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest

HISTOGRAM = NativeHistogram(schema=0, sum=3.0, positive={1: 2})
# The same strings in every role that a string can have.
TEXTS = ["a", "b", "c", "seconds", "counts what there is", "é", "0"]


def any_record(rng):
    labels = {rng.choice(TEXTS): rng.choice(["", *TEXTS]) for _ in range(rng.randrange(4))}
    name = rng.choice(TEXTS)
    value = HISTOGRAM if name < "b" else 1.0  # mixed records go out in several requests
    metadata = rng.choice([None, Metadata("counter"), Metadata("gauge", rng.choice(TEXTS), rng.choice(["", *TEXTS]))])
    exemplars = [Exemplar({rng.choice(TEXTS): rng.choice(TEXTS)}, 1.0, T) for _ in range(rng.randrange(3))]
    return (name, labels, ((value, T + rng.randrange(1000)),), metadata, tuple(exemplars))


@pytest.fixture
def request_of_all_kinds(sent):
    rng = random.Random(7)
    return sent(V2, *[any_record(rng) for _ in range(300)])


# The encoder has separate paths for requests with only samples: one of each series, and several.


@pytest.fixture
def plain_request(sent):
    return sent(V2, *[(text, {text: text, "a": text}, ((1.0, T),), Metadata("gauge", text, "a")) for text in TEXTS])


@pytest.fixture
def plain_request_of_several_samples(sent):
    samples = ((1.0, T), (2.0, T + 1))
    return sent(V2, *[(text, {text: text, "a": text}, samples, Metadata("gauge", text, "a")) for text in TEXTS])


@pytest.fixture(params=["request_of_all_kinds", "plain_request", "plain_request_of_several_samples"])
def request_sent(request):
    return request.getfixturevalue(request.param)


def references(message):
    """All references of a request."""
    for series in message.timeseries:
        yield from series.labels_refs
        yield from (reference for exemplar in series.exemplars for reference in exemplar.labels_refs)
        if series.HasField("metadata"):
            yield from (series.metadata.help_ref, series.metadata.unit_ref)


def test_the_table_must_be_provided_and_its_first_symbol_must_be_empty(request_sent):
    assert request_sent.message.symbols[0] == ""


def test_the_first_symbol_must_be_empty_though_nothing_refers_to_it(sent):
    assert list(sent(V2, ("m", {"a": "1"}, ((1.0, T),))).message.symbols) == ["", "__name__", "m", "a", "1"]


def test_symbols_must_be_deduplicated(request_sent):
    symbols = request_sent.message.symbols
    assert len(symbols) == len(set(symbols))
    assert {"__name__", *TEXTS} <= set(symbols)


def test_the_table_must_contain_what_the_request_uses_and_holds_nothing_else(request_sent):
    message = request_sent.message
    assert {0, *references(message)} == set(range(len(message.symbols)))


def test_references_must_point_to_an_index_of_the_table(request_sent):
    message = request_sent.message
    assert max(references(message)) < len(message.symbols)


def test_references_to_labels_must_be_pairs(request_sent):
    for series in request_sent.series:
        assert len(series.labels_refs) % 2 == 0
        assert all(len(exemplar.labels_refs) % 2 == 0 for exemplar in series.exemplars)


def test_every_series_must_provide_references_to_its_labels(request_sent):
    assert all(series.labels_refs for series in request_sent.series)


def test_many_symbols_are_still_the_right_ones(sent):
    """References above 127 and 16,383 take more bytes."""
    request = sent(
        V2, *[(f"m{number}", {f"l{number}": f"v{number}"}, ((1.0, T),)) for number in range(6000)],
        max_batch_size_in_samples=6000,
    )  # fmt: skip
    assert len(request.message.symbols) > 1 << 14
    for number, series in enumerate(request.series):
        assert request.labels(series) == [("__name__", f"m{number}"), (f"l{number}", f"v{number}")]


def test_each_request_must_have_a_table_of_its_own(start, receiver):
    """The protocol is stateless: no request may depend on another ("Background")."""
    writer = start(V2)
    for number in range(2):
        writer.add(("m", {"a": "1"}, ((1.0, T + number),), Metadata("gauge", "a help", "seconds")))
        writer.flush()
    first, second = (list(request.message.symbols) for request in receiver.requests)
    assert first == second
    assert {"__name__", "m", "a", "1", "a help", "seconds"} < set(second)


def test_a_receiver_of_1_0_finds_nothing_in_a_request_of_2_0(request_sent):
    """The field numbers of 1.0 are reserved in 2.0, so that a wrong version cannot store wrong data."""
    assert list(WriteRequest.FromString(snappy.uncompress(request_sent.body)).timeseries) == []

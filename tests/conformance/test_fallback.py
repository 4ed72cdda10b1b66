"""
The version of requests, and when it changes.

2.0: "Protocol", "Required Written Response Headers", "Unsupported Request Content", "2.x vs 1.x Compatibility".
"""

from __future__ import annotations

from typing import Any

import pytest
from wire_receiver import AUTO, V1, V2, Reply, T, written

from pyflink_prometheus import (
    Exemplar,
    Metadata,
    NativeHistogram,
    RejectionReason,
    RemoteWriteFatalError,
)

ONE = ("m", {"a": "1"}, ((1.0, T),))
SOME: list[tuple[Any, ...]] = [(f"m{number}", {}, ((1.0, T + number),)) for number in range(10)]
VERSION_HEADER = "X-Prometheus-Remote-Write-Version"

# Responses of a 1.0 receiver to 2.0: it refuses it, or finds nothing in it and accepts.
CERTAIN = [
    pytest.param(Reply(415, "unsupported"), id="415"),
    pytest.param(Reply(204), id="204"),
    pytest.param(Reply(200, "all written"), id="200"),
    pytest.param(Reply(202), id="202"),
]


def receiver_of_1_0(receiver, response_to_v2):
    receiver.decide = lambda request: response_to_v2 if request.version is V2 else Reply(204)


def write_one_by_one(writer, *names):
    for name in names:
        writer.add((name, {}, ((1.0, T),)))
        writer.flush()


@pytest.mark.parametrize("response", CERTAIN)
def test_the_same_samples_are_sent_again_as_1_0_to_a_receiver_of_1_0(write, receiver, response):
    """2xx without any Written header SHOULD be treated as 415; on 415 a sender MAY use another content type."""
    receiver_of_1_0(receiver, response)
    writer = write(AUTO, *SOME)
    assert receiver.versions == [V2, V1]
    assert receiver.requests[0].samples == receiver.requests[1].samples
    assert (writer.ledger.samples_accepted, writer.ledger.samples_pending) == (10, 0)
    assert writer.ledger.requests_accepted == 1


@pytest.mark.parametrize("response", CERTAIN)
def test_the_version_of_the_receiver_is_remembered(start, receiver, response):
    receiver_of_1_0(receiver, response)
    write_one_by_one(start(AUTO), "a", "b", "c")
    assert receiver.versions == [V2, V1, V1, V1]


@pytest.mark.parametrize("response", CERTAIN)
def test_the_version_of_the_receiver_is_remembered_by_all_that_write_in_parallel(start, receiver, response):
    receiver_of_1_0(receiver, response)
    writer = start(AUTO, max_in_flight_requests=4, max_batch_size_in_samples=5)
    writer.add(ONE)
    writer.flush()
    for number in range(100):
        writer.add((f"m{number}", {}, ((1.0, T),)))
    writer.flush()
    assert receiver.versions[0] is V2
    assert set(receiver.versions[1:]) == {V1}


def test_everything_that_1_0_can_hold_is_sent_again(write, receiver):
    receiver_of_1_0(receiver, Reply(415))
    histogram = NativeHistogram(schema=0, sum=3.0, positive={1: 2})
    write(
        AUTO,
        (
            "m",
            {"a": "1"},
            ((1.0, T, T - 1), (2.0, T + 1)),
            Metadata("counter", "help"),
            (Exemplar({"b": "1"}, 1.0, T),),
        ),
        ("h", {"a": "1"}, ((histogram, T),)),
    )
    as_v2, as_v1 = receiver.requests
    assert as_v1.content == as_v2.content == [2, 1, 1]
    assert sorted(as_v1.samples) == sorted(as_v2.samples)
    assert as_v1.unknown_bytes == 0


@pytest.mark.parametrize(
    "headers", [written(1), {"X-Prometheus-Remote-Write-Samples-Written": "1"}, written(0), written(7)]
)
@pytest.mark.parametrize("status", [200, 204])
def test_senders_must_not_fall_back_on_2xx_with_written_headers(start, receiver, headers, status):
    """With any number of the three headers and any values: accepted samples are never resent."""
    receiver.decide = lambda request: Reply(status, headers=headers)
    write_one_by_one(start(AUTO), "a", "b", "c")
    assert receiver.versions == [V2] * 3


@pytest.mark.parametrize("kind", ["Samples", "Histograms", "Exemplars"])
def test_one_of_the_written_headers_is_enough(write, receiver, kind):
    receiver.decide = lambda request: Reply(204, headers={f"x-prometheus-remote-write-{kind.lower()}-written": "0"})
    write(AUTO, ONE)
    assert receiver.versions == [V2]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_only_busy_is_asked_again_in_the_same_version(write, receiver, status):
    receiver.script += [Reply(status)] * 3
    write(AUTO, ONE)
    assert receiver.versions == [V2] * 4


def test_a_receiver_that_is_busy_first_and_of_1_0_then_is_understood(start, receiver):
    receiver_of_1_0(receiver, Reply(415))
    receiver.script += [Reply(503), Reply(429)]
    write_one_by_one(start(AUTO), "a", "b")
    assert receiver.versions == [V2, V2, V2, V1, V1]
    assert [name for name, _ in receiver.stored] == ["a", "b"]


@pytest.mark.parametrize("response", CERTAIN)
def test_who_wants_2_0_alone_is_told_that_the_receiver_does_not_understand_it(start, receiver, response):
    receiver_of_1_0(receiver, response)
    writer = start(V2)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="does not support Remote-Write 2.0.*set AUTO or V1") as error:
        writer.flush()
    assert error.value.status == response.status
    assert receiver.versions == [V2]
    assert writer.ledger.samples_accepted == 0


def test_who_wants_2_0_alone_is_not_sent_as_1_0_after_400(write, receiver):
    """If the response does not say what was kept, the sink finds out in 2.0 which samples are at fault."""
    receiver.decide = lambda request: Reply(400, "bad") if ("m3", T + 3) in request.samples else 204
    writer = write(V2, *SOME)
    assert set(receiver.versions) == {V2}
    assert len(receiver.stored) == writer.ledger.samples_accepted == 9
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 1


@pytest.mark.parametrize("status", [204, 400, 503])
def test_who_wants_1_0_alone_never_sends_2_0(write, receiver, status):
    receiver.script += [Reply(status, "send 2.0", {VERSION_HEADER: "2.0.0"})]
    write(V1, *SOME)
    assert set(receiver.versions) == {V1}


def test_who_wants_1_0_alone_is_told_that_the_receiver_does_not_take_it(start, receiver):
    receiver.decide = lambda request: Reply(415, "send 2.0") if request.version is V1 else 204
    writer = start(V1)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=r"set AUTO or V2 .*HTTP 415: send 2\.0") as error:
        writer.flush()
    assert error.value.status == 415
    assert receiver.versions == [V1]


def test_what_takes_neither_version_fails_the_job(start, receiver):
    receiver.decide = lambda request: Reply(415, "no")
    writer = start(AUTO)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="supports neither version of Remote-Write: check the URL's path"):
        writer.flush()
    assert receiver.versions == [V2, V1]


def test_415_to_1_0_brings_2_0_back(start, receiver):
    """The receiver supported 1.0, and now supports only 2.0."""
    receiver_of_1_0(receiver, Reply(204))
    writer = start(AUTO)
    write_one_by_one(writer, "a", "b")
    receiver.decide = lambda request: 204 if request.version is V2 else 415
    write_one_by_one(writer, "c", "d")
    assert receiver.versions == [V2, V1, V1, V1, V2, V2]
    assert writer.ledger.samples_accepted == 4


def test_a_receiver_of_2_0_alone_that_refuses_a_sample_gives_the_others_a_hearing(write, receiver):
    def decide(request):
        if request.version is V1:
            return Reply(415)
        return Reply(400, "bad") if ("m3", T + 3) in request.samples else 204

    receiver.decide = decide
    writer = write(AUTO, *SOME)
    assert (len(receiver.stored), writer.ledger.samples_rejected[RejectionReason.REFUSED]) == (9, 1)
    assert len({request.body for request in receiver.requests}) == len(receiver.requests)


@pytest.mark.parametrize("headers", [{}, written()], ids=["no counts", "zeros"])
@pytest.mark.parametrize("status", [400, 409, 422])
def test_senders_should_expect_400_of_receivers_of_1_0(start, receiver, status, headers):
    """
    From a receiver that has never shown that it understands 2.0; the sink then remembers that it accepts 1.0.

    Some receivers send zeros in response to 1.0, which shows nothing.
    """
    refusal, success = Reply(status, "cannot read this"), Reply(204, headers=headers)
    receiver.decide = lambda request: refusal if request.version is V2 else success
    writer = start(AUTO)
    write_one_by_one(writer, "a", "b", "c")
    assert receiver.versions == [V2, V1, V1, V1]
    assert writer.ledger.samples_accepted == 3


def test_400_of_a_receiver_that_refuses_1_0_as_well_is_its_last_word(start, receiver):
    """The sample was at fault: this shows nothing about the version, and the next request is sent in 2.0."""
    receiver.decide = lambda request: Reply(400, "bad") if ("bad", T) in request.samples else 204
    writer = start(AUTO)
    write_one_by_one(writer, "bad", "good", "better")
    assert receiver.versions == [V2, V1, V1, V2, V2]
    assert receiver.requests[2].samples == []  # checks whether it is a receiver at all
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 1


@pytest.mark.parametrize("status", [400, 409, 422])
def test_400_with_written_headers_is_never_sent_as_1_0(write, receiver, status):
    """A 2.0 receiver refuses it, whatever part of it was written."""
    receiver.script += [Reply(status, "bad", written(samples=0)), Reply(status, "bad", written(samples=3))]
    writer = write(AUTO, *SOME)
    assert set(receiver.versions) == {V2}
    assert writer.ledger.samples_pending == 0


@pytest.mark.parametrize(
    ("responses", "versions"),
    [
        ([Reply(400, "too many labels")], [V2, V2, V1, V1]),
        ([Reply(204), Reply(204)], [V2, V2, V2, V1, V1]),
        ([Reply(415)], [V2, V2, V1, V1]),
    ],
    ids=["400", "204", "415"],
)
def test_a_receiver_of_2_0_for_which_something_else_once_responded_is_sent_2_0_again(
    start, receiver, clock, responses, versions
):
    """
    It has sent Written headers, and a gateway responds in its place; or it is rolled back to 1.0 for a while.

    A 2xx without headers is not believed the first time. Otherwise the sink uses 1.0 for a minute, and no sample is
    lost.
    """
    receiver.script += [204, *responses]
    writer = start(AUTO)
    write_one_by_one(writer, "a", "b", "c")
    assert receiver.versions == versions
    clock.advance(61)
    write_one_by_one(writer, "d", "e")
    assert receiver.versions == [*versions, V2, V2]
    assert writer.ledger.samples_accepted == 5
    assert {name for name, _ in receiver.stored} == {"a", "b", "c", "d", "e"}


def test_one_success_without_headers_changes_nothing_at_a_receiver_of_2_0(start, receiver):
    """It is not believed either: if the receiver has not seen the request, nothing was stored."""
    receiver.script += [204, Reply(200, "OK")]
    writer = start(AUTO)
    write_one_by_one(writer, "a", "b", "c")
    assert receiver.versions == [V2] * 4
    assert receiver.requests[1].samples == receiver.requests[2].samples == [("b", T)]
    assert writer.ledger.samples_accepted == 3


@pytest.mark.parametrize("response", [*CERTAIN, pytest.param(Reply(400, "cannot read this"), id="400")])
def test_2_0_is_tried_again_from_time_to_time_at_a_receiver_of_1_0(start, receiver, clock, response):
    """After a minute, then after twice as long each time, up to an hour; each attempt costs one request, no sample."""
    receiver_of_1_0(receiver, response)
    writer = start(AUTO)
    tries = []
    for number in range(16):
        before = len(receiver.requests)
        write_one_by_one(writer, f"m{number}")
        tries += [number] if receiver.versions[before] is V2 else []
        assert len(receiver.requests) - before == 1 + (receiver.versions[before] is V2)
        clock.advance(60)
    assert tries == [0, 1, 3, 7, 15]
    assert writer.ledger.samples_accepted == 16
    receiver.decide = lambda request: 204
    clock.advance(3600)
    write_one_by_one(writer, "last", "but one")
    assert receiver.versions[-2:] == [V2, V2]


@pytest.mark.parametrize("spoken", [V1, V2])
def test_a_version_that_was_chosen_stays(start, receiver, clock, spoken):
    writer = start(spoken)
    for number in range(3):
        write_one_by_one(writer, f"m{number}")
        clock.advance(7200)
    assert receiver.versions == [spoken] * 3


@pytest.mark.parametrize("claimed", ["0.1.0", "1.0.0", "2.0.0", "3.0.0"])
@pytest.mark.parametrize("spoken", [AUTO, V1, V2])
def test_senders_must_not_assume_the_receivers_version_from_the_headers_of_its_responses(
    start, receiver, spoken, claimed
):
    def decide(request):
        counts = written(*request.content) if request.version is V2 else {}
        return Reply(204, headers={VERSION_HEADER: claimed, **counts})

    receiver.decide = decide
    write_one_by_one(start(spoken), "a", "b")
    assert receiver.versions == [V1 if spoken is V1 else V2] * 2


def test_written_headers_in_responses_to_1_0_do_not_bring_2_0_back(start, receiver):
    receiver.script += [Reply(415)]
    receiver.decide = lambda request: Reply(204, headers=written(samples=1))
    write_one_by_one(start(AUTO), "a", "b", "c")
    assert receiver.versions == [V2, V1, V1, V1]


def test_what_a_message_says_of_versions_changes_nothing(write, receiver):
    """Senders MUST NOT interpret it."""
    text = "415 Unsupported Media Type: io.prometheus.write.v2.Request is not supported, use 0.1.0"
    receiver.decide = lambda request: Reply(400, text, written(samples=0))
    write(AUTO, ONE)
    assert receiver.versions == [V2]

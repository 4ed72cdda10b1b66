"""What the sink learns from an endpoint's responses, and for how long."""

from __future__ import annotations

from dataclasses import replace

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written, classify_status
from pyflink_prometheus.writer.endpoint import COUNTED, LARGER_AFTER_S, Endpoint, Refusal, RefusalStyle

V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO
WITH_COUNTS = replace(classify_status(204), written=Written(samples=1))
MINUTE_S = 60


def minutes_of_tries(endpoint, minutes):
    return [minute for minute in minutes if endpoint.next_version(minute * MINUTE_S) is V2]


def test_2_0_is_tried_again_after_a_minute_and_then_ever_later_up_to_an_hour():
    endpoint = Endpoint(AUTO)
    endpoint.prefer(V1, "it does not understand it", 0.0)
    assert minutes_of_tries(endpoint, range(300)) == [1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_the_waits_begin_anew_once_it_has_understood_2_0():
    endpoint = Endpoint(AUTO)
    endpoint.prefer(V1, "it does not understand it", 0.0)
    minutes_of_tries(endpoint, range(20))
    endpoint.learn(V2, WITH_COUNTS)
    assert endpoint.next_version(20 * MINUTE_S) is V2
    endpoint.prefer(V1, "it is of 1.0 again", 20 * MINUTE_S)
    assert minutes_of_tries(endpoint, range(20, 30)) == [21, 23, 27]


def test_a_version_that_was_chosen_is_never_left():
    for version in (V1, V2):
        endpoint = Endpoint(version)
        endpoint.prefer(V2 if version is V1 else V1, "of what it responded", 0.0)
        assert {endpoint.next_version(hours * 3600.0) for hours in range(10)} == {version}


def test_counts_that_contradicted_themselves_are_not_taken_for_exact_again():
    endpoint = Endpoint(AUTO)
    endpoint.note_refusal(COUNTED, Refusal.COUNTS)
    endpoint.note_claim_of_all()
    assert not endpoint.counts_are_exact
    endpoint.note_refusal(COUNTED, Refusal.COUNTS)
    assert endpoint.refusal(COUNTED) is Refusal.KEEPS_GOOD
    assert endpoint.refusal(RefusalStyle(V1, is_counted=False)) is Refusal.UNKNOWN  # it may behave differently there


def test_a_size_that_was_in_time_is_doubled_once_in_a_while():
    endpoint = Endpoint(AUTO)
    assert endpoint.size_in_time(0.0) is None
    endpoint.note_size_in_time(250, 0.0)
    assert [endpoint.size_in_time(now) for now in (0.0, LARGER_AFTER_S - 1, LARGER_AFTER_S)] == [250, 250, 500]
    assert [endpoint.size_in_time(LARGER_AFTER_S + 1), endpoint.size_in_time(2 * LARGER_AFTER_S)] == [500, 1000]


def test_an_accepted_request_of_another_tenant_is_remembered_beside_the_latest():
    endpoint = Endpoint(V1)
    one, other = (("X-Scope-OrgID", "one"),), (("X-Scope-OrgID", "other"),)
    assert endpoint.latest_accepted_of_others(one) == 0
    for tenant, of_one, of_other in ((one, 0, 1), (other, 2, 1), (other, 3, 1), (one, 3, 4)):
        endpoint.learn(V1, classify_status(204), tenant)
        assert endpoint.latest_accepted_of_others(one) == of_one
        assert endpoint.latest_accepted_of_others(other) == of_other


def test_a_tenant_is_welcome_again_once_a_request_of_it_is_accepted():
    endpoint, tenant = Endpoint(V1), (("X-Scope-OrgID", "one"),)
    endpoint.note_unwelcome(tenant)
    assert endpoint.is_unwelcome(tenant)
    endpoint.learn(V1, classify_status(204), tenant)
    assert not endpoint.is_unwelcome(tenant)

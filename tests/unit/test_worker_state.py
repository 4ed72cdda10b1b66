"""State stays in the worker from bundle to bundle, and a bundle's changes are written together at its end."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from pyflink.common import Row

from pyflink_prometheus.flink.operators._context import KeyedState

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's libraries warn about each other
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.worker.sdk_worker import GlobalCachingStateHandler, _Future
    from apache_beam.runners.worker.statecache import StateCache
    from pyflink.fn_execution.coders import BigIntCoder, CharCoder, PickleCoder, RowCoder
    from pyflink.fn_execution.datastream.process.runtime_context import StreamingRuntimeContext
    from pyflink.fn_execution.state_impl import CachingMapStateHandler, RemoteKeyedStateBackend


class Java:
    """The other end of Beam's state requests, with Flink's map state: it records requests and waits."""

    def __init__(self):
        self.maps: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        self.seen: list[str] = []
        self.error = ""

    @contextlib.contextmanager
    def process_instruction_id(self, bundle_id):
        yield

    def get_raw(self, key, continuation_token=None):
        assert continuation_token[0] == CachingMapStateHandler.GET_FLAG
        self.seen.append("get")
        found = self.maps[key.SerializeToString()].get(continuation_token[1:])
        if found is None:
            return bytes([CachingMapStateHandler.NOT_EXIST_FLAG]), None
        return bytes([CachingMapStateHandler.EXIST_FLAG]) + found, None

    def clear(self, key):
        self.maps[key.SerializeToString()].clear()
        return self._respond("clear")

    def append_raw(self, key, data):
        stream = io.BytesIO(data)

        def number():
            return int.from_bytes(stream.read(4), "big")

        for _ in range(number()):
            assert stream.read(1)[0] == CachingMapStateHandler.SET_VALUE
            entry = stream.read(number())
            self.maps[key.SerializeToString()][entry] = stream.read(number())
        return self._respond("put")

    def take(self):
        """Return the requests since the last call, and forget them."""
        seen, self.seen = self.seen, []
        return seen

    def _respond(self, kind):
        self.seen.append(f"send {kind}")
        return Response(self, kind)


class Response(_Future):
    def __init__(self, java, kind):
        super().__init__()
        self._java, self._kind = java, kind
        self.set(beam_fn_api_pb2.StateResponse(error=java.error))

    def get(self, timeout=None):
        self._java.seen.append(f"wait {self._kind}")
        return super().get(timeout)


class Worker:
    """A function in PyFlink's own context, with its state, and a metric group that keeps gauges."""

    def __init__(self, java, cache_size=100, *, has_metrics=True, key_coder=None, begins=False):
        self._handler = GlobalCachingStateHandler(StateCache(1 << 20), java)
        coder = RowCoder([key_coder or CharCoder()], ["f0"])
        self.backend = RemoteKeyedStateBackend(self._handler, coder, None, cache_size, 100, 100)
        self.gauges = {}
        if begins:
            self.begin_state()
        metrics = self if has_metrics else None
        self.state = KeyedState(StreamingRuntimeContext("", "", 1, 8, 0, 0, {}, metrics, self.backend, False), "value")
        self._begin()

    def begin_state(self):
        """Get a separate state before the operator's."""

    def _begin(self):
        token = beam_fn_api_pb2.ProcessBundleRequest.CacheToken(user_state={}, token=b"token")  # type: ignore[arg-type]
        self._bundle = self._handler.process_instruction_id("bundle", [token])
        self._bundle.__enter__()

    def add_group(self, name):
        return self

    def gauge(self, name, read):
        self.gauges[name] = read

    def add(self, key, number):
        self.set(key, [*(self.value(key) or []), number])

    def set(self, key, value):
        self.backend.set_current_key(Row(key))
        self.state.update(value)

    def value(self, key):
        self.backend.set_current_key(Row(key))
        return self.state.value()

    def finish(self):
        """End a bundle as PyFlink does."""
        found = {name: read() for name, read in self.gauges.items()}
        self.backend.commit()
        self._bundle.__exit__(None, None, None)
        self._begin()
        return found


def test_all_values_are_sent_before_one_is_waited_for_and_nothing_is_left_to_pyflink():
    java = Java()
    worker = Worker(java)
    for number in range(3):
        for key in "abc":
            worker.add(key, number)
    assert java.take() == ["get"] * 3
    assert worker.finish() == {"numKeysWritten": 3}
    assert java.take() == ["send put"] * 3 + ["wait put"] * 3


def test_a_key_is_read_once_whether_or_not_there_was_anything():
    java = Java()
    first = Worker(java)
    first.add("a", 1)
    first.finish()
    java.take()

    worker = Worker(java)
    for _ in range(3):
        assert [worker.value(key) for key in "ab"] == [[1], None]
        worker.finish()
    assert java.take() == ["get", "get"]


def test_only_keys_that_changed_are_written_again_and_an_emptied_one_is_cleared():
    java = Java()
    worker = Worker(java)
    for key in "abcd":
        worker.add(key, 1)
    worker.finish()
    java.take()
    worker.value("a")
    worker.add("b", 2)
    worker.set("c", None)
    assert worker.finish() == {"numKeysWritten": 2}
    assert Counter(java.take()) == {"send put": 1, "wait put": 1, "send clear": 1, "wait clear": 1}
    after = Worker(java)
    assert [after.value(key) for key in "abcd"] == [[1], [1, 2], None, [1]]
    assert after.finish() == {"numKeysWritten": 0}


@pytest.mark.parametrize("cache_size", [0, 1, 2, 100])
def test_nothing_is_lost_whatever_the_size_of_the_cache(cache_size):
    java = Java()
    worker = Worker(java, cache_size)
    for number in range(40):
        key = "abcde"[number * number % 5]
        if number % 7 == 6:
            worker.set(key, None)
        else:
            worker.add(key, number)
        if number % 3 == 0:
            worker.finish()
    worker.finish()
    expected: dict[str, list[int]] = {}
    for number in range(40):
        key = "abcde"[number * number % 5]
        expected[key] = [] if number % 7 == 6 else [*expected.get(key, []), number]
    after = Worker(java)
    assert {key: after.value(key) or [] for key in expected} == expected


def test_of_more_keys_than_the_cache_holds_those_used_last_stay():
    java = Java()
    worker = Worker(java, cache_size=2)
    worker.add("a", 1)
    worker.add("b", 1)
    worker.value("a")
    worker.add("c", 1)  # in place of b
    assert java.take() == ["get", "get", "get", "send put"]
    worker.add("a", 2)
    assert java.take() == []
    worker.add("b", 2)  # in place of c, which is written before b is read
    assert worker.finish() == {"numKeysWritten": 4}
    after = Worker(java)
    assert [after.value(key) for key in "abc"] == [[1, 2], [1, 2], [1]]


def test_a_cache_that_is_too_small_for_the_keys_of_a_bundle_is_advised_against_once(caplog):
    worker = Worker(Java(), cache_size=20)
    for count in (20, 22):
        for number in range(count):
            worker.set(str(number), number)
        worker.finish()
    assert not caplog.records  # two keys above its size are not a reason to change anything
    for _ in range(2):
        for number in range(40):
            worker.set(str(number), number)
        worker.finish()
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "raise python.state.cache-size (now 20) above the number of keys in a subtask"
    )


@pytest.mark.parametrize(
    ("coder", "keys"),
    [
        (CharCoder(), ["", "a", "ab", "a" * 300, "ä"]),
        (BigIntCoder(), [0, 1, -1, 2**40]),
        (PickleCoder(), [1, 1.0, True, "1", ("a", 1), ("a", 1.0), None]),
    ],
    ids=["strings", "longs", "pickled"],
)
def test_keys_have_the_bytes_that_pyflink_gives_them(coder, keys):
    ours, theirs = Worker(Java(), 1, key_coder=coder), Worker(Java(), has_metrics=False, key_coder=coder)
    named = RowCoder([coder], ["f0"]).get_impl()
    for key in (*keys, *keys):
        nameless, of_timer = Row(key), Row(key)
        of_timer.set_field_names(["f0"])
        for row in (nameless, of_timer):
            ours.backend.set_current_key(row)
            theirs.backend._current_key = object()  # equal to no key, since PyFlink takes 1.0 for 1 if it comes next
            theirs.backend.set_current_key(row)
            assert ours.backend._encoded_current_key == theirs.backend._encoded_current_key == named.encode(row)
            assert ours.backend.get_current_key() is row


@pytest.mark.parametrize("is_first", [True, False])
def test_a_subclass_may_have_state_of_its_own(is_first):
    class Subclass(Worker):
        def begin_state(self):
            self.own = self.backend.get_value_state("own", PickleCoder())

        def get_own(self, key):
            self.backend.set_current_key(Row(key))
            return self.own.value()

        def set_own(self, key, value):
            self.backend.set_current_key(Row(key))
            self.own.update(value)

    worker = Subclass(Java(), begins=is_first)
    if not is_first:
        worker.begin_state()
    for number, key in enumerate("abab"):
        worker.set_own(key, f"own {key}{number}")
        worker.set(key, f"{key}{number}")
    assert [worker.get_own(key) for key in "ab"] == ["own a2", "own b3"]
    assert [worker.value(key) for key in "ab"] == ["a2", "b3"]


def test_requests_that_wait_for_a_response_are_bounded():
    java = Java()
    worker = Worker(java, cache_size=5_000)
    for number in range(5_000):
        worker.set(str(number), number)
    assert worker.finish() == {"numKeysWritten": 5_000}
    seen = java.take()
    assert seen.index("wait put") == 2_000
    assert Counter(seen) == {"send put": 5_000, "wait put": 5_000}


@pytest.mark.parametrize("then_has_metrics", [True, False])
def test_pyflinks_own_state_is_in_the_same_format(then_has_metrics):
    java = Java()
    first = Worker(java, has_metrics=not then_has_metrics)
    first.add("a", 1)
    first.add("b", 1)
    first.finish()
    first.set("b", None)
    first.finish()
    second = Worker(java, has_metrics=then_has_metrics)
    assert [second.value(key) for key in "ab"] == [[1], None]
    second.add("a", 2)
    second.finish()
    assert Worker(java).value("a") == [1, 2]


@dataclass
class Own:
    number: int


Own.__module__, Own.__qualname__ = "job_file_of_a_user", "Own"


@pytest.mark.parametrize("value", [(1, "a", None), {"a": [1.5, {2}]}, [Own(1)]], ids=repr)
def test_values_are_read_as_they_were_and_need_nothing_of_ours(value):
    java = Java()
    worker = Worker(java)
    worker.set("a", value)
    worker.finish()
    (entries,) = java.maps.values()
    assert not any(b"pyflink_prometheus" in stored for stored in entries.values())
    assert repr(Worker(java).value("a")) == repr(value)


def test_a_value_that_flink_cannot_write_fails_the_job():
    java = Java()
    java.error = "disk full"
    worker = Worker(java)
    worker.add("a", 1)
    with pytest.raises(RuntimeError, match="TaskManager's log: Flink could not write an operator's state: disk full"):
        worker.finish()

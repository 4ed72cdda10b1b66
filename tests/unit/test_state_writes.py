"""The values that a bundle has changed are written at its end, all sent before the first is waited for."""

from __future__ import annotations

import contextlib
import warnings

import pytest
from pyflink.common import Types
from pyflink.datastream.state import ValueStateDescriptor

from pyflink_prometheus.flink.operators._context import KeyedState

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's libraries warn of each other
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.worker.sdk_worker import GlobalCachingStateHandler, _Future
    from apache_beam.runners.worker.statecache import StateCache
    from pyflink.fn_execution.coders import PickleCoder, from_type_info
    from pyflink.fn_execution.state_impl import RemoteKeyedStateBackend


class Java:
    """The other end of Beam's state requests, with Flink's state: it keeps what is sent and waited for."""

    def __init__(self):
        self.values: dict[bytes, bytes] = {}
        self.seen: list[str] = []
        self.error = ""

    @contextlib.contextmanager
    def process_instruction_id(self, bundle_id):
        yield

    def get_raw(self, key, continuation_token=None):
        return self.values.get(key.SerializeToString(), b""), None

    def clear(self, key):
        self.values.pop(key.SerializeToString(), None)
        return Answer(self, "clear")

    def append_raw(self, key, data):
        self.values[key.SerializeToString()] = self.values.get(key.SerializeToString(), b"") + data
        return Answer(self, "append")


class Answer(_Future):
    def __init__(self, java, kind):
        super().__init__()
        self._java, self._kind = java, kind
        java.seen.append(f"send {kind}")
        self.set(beam_fn_api_pb2.StateResponse(error=java.error))

    def get(self, timeout=None):
        self._java.seen.append(f"wait {self._kind}")
        return super().get(timeout)

    def wait(self, timeout=None):
        self._java.seen.append(f"wait {self._kind}")
        return super().wait(timeout)


class Worker:
    """A function's context, with PyFlink's own state and a metric group that keeps its gauge."""

    def __init__(self, java, cache_size=100):
        self._handler = GlobalCachingStateHandler(StateCache(1 << 20), java)
        self.backend = RemoteKeyedStateBackend(self._handler, PickleCoder(), None, cache_size, 100, 100)
        self.gauges = {}
        self.state = KeyedState(self, "value")

        self._begin()

    def _begin(self):
        token = beam_fn_api_pb2.ProcessBundleRequest.CacheToken(user_state={}, token=b"token")  # type: ignore[arg-type]
        self._bundle = self._handler.process_instruction_id("bundle", [token])
        self._bundle.__enter__()

    def get_state(self, descriptor: ValueStateDescriptor):
        return self.backend.get_value_state(descriptor.name, from_type_info(Types.PICKLED_BYTE_ARRAY()))

    def get_metrics_group(self):
        return self

    def add_group(self, name):
        return self

    def gauge(self, name, read):
        self.gauges[name] = read

    def add(self, key, number):
        self.backend.set_current_key(key)
        self.state.update([*(self.state.value() or []), number])

    def value(self, key):
        self.backend.set_current_key(key)
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
    assert worker.finish() == {"numKeysWritten": 3}
    sent = ["send clear", "send append"] * 3
    assert java.seen[: len(sent)] == sent
    assert not any(each.startswith("send") for each in java.seen[len(sent) :])
    assert len(java.values) == 3


def test_only_keys_that_changed_are_written_again_and_an_emptied_one_is_cleared():
    java = Java()
    worker = Worker(java)
    for key in "abcd":
        worker.add(key, 1)
    worker.finish()
    java.seen.clear()
    worker.value("a")
    worker.add("b", 2)
    worker.value("c")
    worker.state.update(None)
    assert worker.finish() == {"numKeysWritten": 2}
    assert java.seen.count("send append") == 1
    after = Worker(java)
    assert [after.value(key) for key in "abcd"] == [[1], [1, 2], None, [1]]
    assert after.finish() == {"numKeysWritten": 0}


@pytest.mark.parametrize("cache_size", [0, 1, 2, 100])
def test_nothing_is_lost_whatever_the_size_of_the_cache(cache_size):
    java = Java()
    worker = Worker(java, cache_size)
    for number in range(20):
        worker.add("abcde"[number * number % 5], number)
        if number % 3 == 0:
            worker.finish()
    worker.finish()
    expected = {key: [n for n in range(20) if "abcde"[n * n % 5] == key] for key in "abcde"}
    after = Worker(java)
    assert {key: after.value(key) or [] for key in "abcde"} == expected


def test_a_value_that_flink_cannot_write_fails_the_job():
    java = Java()
    java.error = "disk full"
    worker = Worker(java)
    worker.add("a", 1)
    with pytest.raises(RuntimeError, match="TaskManager's log: Flink could not write an operator's state: disk full"):
        worker.finish()

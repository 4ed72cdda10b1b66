"""Timers reach Flink as the same bytes that PyFlink would send to register them."""

from __future__ import annotations

import warnings

import pytest
from pyflink.common import Row

from pyflink_prometheus.flink.operators._timers import EventTimers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's libraries warn about each other
    from apache_beam.coders.coder_impl import TimerCoderImpl
    from apache_beam.coders.coders import GlobalWindowCoder
    from apache_beam.runners.worker.bundle_processor import TimerInfo
    from apache_beam.runners.worker.data_plane import SizeBasedBufferingClosableOutputStream
    from pyflink.common.serializer import VoidNamespaceSerializer
    from pyflink.fn_execution.beam.beam_coder_impl_fast import PassThroughLengthPrefixCoderImpl
    from pyflink.fn_execution.beam.beam_coders import FlinkCoder
    from pyflink.fn_execution.coders import (
        BigIntCoder,
        BinaryCoder,
        CharCoder,
        PickleCoder,
        RowCoder,
        TinyIntCoder,
        ValueCoder,
    )
    from pyflink.fn_execution.datastream.process.timerservice_impl import InternalTimerServiceImpl, TimerServiceImpl


class Backend:
    """The part of PyFlink's state that timers need: the current key, and its bytes."""

    def __init__(self, coder):
        self._coder = coder.get_impl()

    def set(self, key):
        self._key, self._encoded_current_key = key, self._coder.encode(key)

    def get_current_key(self):
        return self._key


class Worker:
    """PyFlink's timer service with the coder that Java asks for, and a stream for each bundle."""

    def __init__(self, key_coder):
        key = RowCoder([key_coder], ["f0"])
        self.backend = Backend(key)
        fields = [TinyIntCoder(), BigIntCoder(), BigIntCoder(), key, BinaryCoder()]
        row = RowCoder(fields, ["f0", "f1", "f2", "f3", "f4"])
        coder = PassThroughLengthPrefixCoderImpl(FlinkCoder(ValueCoder(row)).get_impl())
        self._coder = TimerCoderImpl(coder, GlobalWindowCoder().get_impl())
        self._internal = InternalTimerServiceImpl(self.backend)
        self._internal.set_namespace_serializer(VoidNamespaceSerializer())
        self.service = TimerServiceImpl(self._internal)
        self.begin()

    def begin(self):
        self._sent: list[bytes] = []
        self._stream = SizeBasedBufferingClosableOutputStream(
            self._sent.append, self._sent.append, size_flush_threshold=100
        )
        self._internal.add_timer_info(TimerInfo(self._coder, self._stream))

    def finish(self):
        """Return the bytes that a bundle has sent, and begin another bundle."""
        self._stream.close()
        sent = b"".join(self._sent)
        self.begin()
        return sent


KEYS = {
    "strings": (CharCoder(), ["", "a", "b", "a" * 200, "ä"]),
    "longs": (BigIntCoder(), [0, -1, 1_700_000_000_000]),
    "tuples": (PickleCoder(), [("a", 1), ("a", None), ("b", 1)]),
}
TIMES = [1_700_000_000_000, 0, -1, 2**63 - 1, -(2**63), 1_700_000_000_001]


@pytest.mark.parametrize(("key_coder", "keys"), KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("most_keys", [1, 100])
def test_timers_are_encoded_as_by_pyflink(key_coder, keys, most_keys):
    ours, theirs = Worker(key_coder), Worker(key_coder)
    timers = EventTimers(most_keys)
    for _ in range(2):
        for time in TIMES:
            for key in keys:
                for worker in (ours, theirs):
                    worker.backend.set(Row(key))
                timers.register(ours.service, time)
                theirs.service.register_event_time_timer(time)
        sent = ours.finish()
        assert sent == theirs.finish()
        assert len(sent) > len(TIMES) * len(keys) * 8


def test_another_timer_service_registers_itself():
    class Service:
        registered: list[int] = []  # noqa: RUF012

        def register_event_time_timer(self, timestamp):
            self.registered.append(timestamp)

    EventTimers().register(Service(), 5)
    assert Service.registered == [5]


def test_a_key_whose_bytes_look_like_the_time_is_left_to_pyflink():
    some_time = 0x2E8B_57A1_D36C_94F5
    ours, theirs = Worker(BigIntCoder()), Worker(BigIntCoder())
    for worker in (ours, theirs):
        worker.backend.set(Row(some_time))
    EventTimers().register(ours.service, 5)
    theirs.service.register_event_time_timer(5)
    assert ours.finish() == theirs.finish()

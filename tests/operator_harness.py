"""A harness that runs the operators' PyFlink functions without Flink: state, timers, watermarks and side outputs."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from typing import Any

import cloudpickle
from pyflink.datastream import OutputTag

LOWEST, HIGHEST = -(2**63), 2**63 - 1


class Harness:
    """
    The operator that runs a function.

    ``outputs`` holds (Flink timestamp, result), ``side`` the results of each tag by its id, ``counts`` the counters.

    :param function: the function; pickled and unpickled, as on its way to a worker.
    :param state: the state of an earlier harness, as from a savepoint.
    """

    def __init__(self, function, state=None):
        self.function = cloudpickle.loads(cloudpickle.dumps(function))
        self.outputs: list[Any] = []
        self.side: dict[Any, list[Any]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.watermark = LOWEST
        self._states, self._timers = cloudpickle.loads(cloudpickle.dumps(state)) if state else ({}, set())
        self._key = self._timestamp = None
        self.function.open(self)

    def send(self, event, timestamp=None, key="k"):
        """Send an event of a key to the function."""
        self._key, self._timestamp = key, LOWEST if timestamp is None else timestamp
        self._take(self.function.process_element(event, self))
        return self

    def broadcast(self, update):
        """Send an element of the broadcast stream to the function."""
        self._take(self.function.process_broadcast_element(update, self))
        return self

    def advance(self, watermark=HIGHEST):
        """Advance the watermark and fire timers in order of time, including those registered meanwhile."""
        self.watermark = watermark
        while self._timers and min(self._timers)[0] <= watermark:
            timer = min(self._timers)
            self._timers.remove(timer)
            self._timestamp, self._key = timer
            self._take(self.function.on_timer(self._timestamp, self))
        return self

    def savepoint(self, *, timers=True):
        """
        Return a copy of state and timers.

        :param timers: whether to include the timers of the last bundle, which PyFlink loses.
        """
        return pickle.loads(pickle.dumps((self._states, self._timers if timers else set())))

    @property
    def results(self):
        """The results in the main stream."""
        return [result for _, result in self.outputs]

    @property
    def keys_with_state(self):
        """The keys that have state."""
        return {key for values in self._states.values() for key in values}

    def _take(self, results):
        for result in results or ():
            if isinstance(result, tuple) and isinstance(result[0], OutputTag):
                self.side[result[0].tag_id].append(result[1])
            else:
                self.outputs.append((self._timestamp, result))

    # Below: the runtime context, the context, the timer service, the metric group, and state.

    def get_map_state(self, descriptor):
        values = self._states.setdefault(descriptor.name, {})
        return KeyedMapState(values, lambda: self._key)

    def get_metrics_group(self):
        return self

    def add_group(self, name):
        assert name == "Prometheus"
        return self

    def counter(self, name):
        return FlinkCounter(self.counts, name)

    def timestamp(self):
        return self._timestamp

    def get_current_key(self):
        return self._key

    def timer_service(self):
        return self

    def current_watermark(self):
        return self.watermark

    def register_event_time_timer(self, timestamp):
        self._timers.add((timestamp, self._key))

    def get_broadcast_state(self, descriptor):
        return MapState(self._states.setdefault(descriptor.name, {}))


class KeyedMapState:
    """A state that pickles on each access, as in thread mode; nothing may depend on the identity of objects."""

    def __init__(self, values, key):
        self._values, self._key = values, key

    def get(self, entry):
        found = self._values.get(self._key(), {}).get(entry)
        return None if found is None else pickle.loads(found)

    def put(self, entry, value):
        self._values.setdefault(self._key(), {})[entry] = pickle.dumps(value)

    def clear(self):
        self._values.pop(self._key(), None)


class MapState(dict):
    def __init__(self, values):
        super().__init__(values)
        self._values = values

    def put(self, key, value):
        self._values[key] = self[key] = value


class FlinkCounter:
    def __init__(self, counts, name):
        self._counts, self._name = counts, name

    def inc(self, count=1):
        self._counts[self._name] += count

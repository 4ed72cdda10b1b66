"""State that stays in the worker from bundle to bundle, and is written to Flink at the end of each one."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from pyflink.datastream.functions import RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from pyflink_prometheus.flink.pickled import dumped, loaded

_log = logging.getLogger(__name__)

#: The only entry of a key's map.
ENTRY = "value"

#: How many writes may wait for Java at a time, which bounds their memory.
_AT_A_TIME = 2_000


class StoredState:
    """
    One value per key, which is read from Flink and written back each time; in thread mode this costs little.

    :param state: PyFlink's state, a map from strings to pickled values.
    """

    def __init__(self, state: Any) -> None:
        self._state = state

    def value(self) -> Any:
        """Return the current key's value, ``None`` if it has none."""
        stored = self._state.get(ENTRY)
        return None if stored is None else loaded(stored)

    def update(self, value: Any) -> None:
        """Store the current key's value, or clear it if given ``None``."""
        if value is None:
            self._state.clear()
        else:
            self._state.put(ENTRY, dumped(value))


class WorkerState:
    """
    One value per key, which stays in the worker from bundle to bundle; Flink gets a bundle's changes at its end.

    PyFlink looks up a key's state in its own cache and in Beam's, and writes it with two requests, one key after the
    other. This class reads a key once, writes it with one request, and sends all changes of a bundle before it waits.
    The requests are the same as those of PyFlink's map state.

    Nothing else writes this state while the function runs, so the worker's values are the same as Flink's.

    :param state: as for :class:`StoredState`.
    :raises AttributeError: if it is not the state of PyFlink's process mode in the form that this class knows.
    """

    def __init__(self, state: Any) -> None:
        self._backend = backend = state._remote_state_backend
        handler = backend._map_state_handler
        self._get, self._append, self._clear = handler._get_raw, handler._append_raw, handler._underlying.clear
        one = state.get_internal_state()
        self._no_key, self._set = one._state_key, handler.SET_VALUE
        self._encode_entry, self._encode_value = one._map_key_encoder, one._map_value_encoder
        self._decode_value = one._map_value_decoder
        self._most = max(1, backend._state_cache_size)
        #: Values by encoded key, the last used one at the end; ``None`` if Flink has none for a key.
        self._values: OrderedDict[bytes, Any] = OrderedDict()
        self._changed: dict[bytes, None] = {}
        self._pending: list[Any] = []
        self._written = self._displaced = 0
        self._advice_is_given = False
        self._encode = backend._key_coder_impl.encode
        self._encoded: dict[Any, bytes] = {}
        # PyFlink would look up its cached state each time the key changes. Without this lookup, only the key remains to
        # be encoded.
        del backend._all_states[state.name]
        self._pyflinks_set_current_key = backend.set_current_key
        backend.set_current_key = self._set_current_key

    def value(self) -> Any:
        """Return the current key's value, ``None`` if it has none."""
        key = self._backend._encoded_current_key
        try:
            self._values.move_to_end(key)
        except KeyError:
            self._keep(key, self._read(key))
        return self._values[key]

    def update(self, value: Any) -> None:
        """Store the current key's value, or clear it if given ``None``."""
        key = self._backend._encoded_current_key
        if key in self._values:
            self._values[key] = value
        else:
            self._keep(key, value)
        self._changed[key] = None

    def write(self) -> int:
        """
        Write all values that have changed since the last call, and return how many.

        :raises RuntimeError: if Flink could not write one.
        """
        changed, self._changed = self._changed, {}
        for key in changed:
            self._send(key, self._values[key])
        self._wait()
        if self._displaced > self._most // 10 and not self._advice_is_given:
            self._advice_is_given = True
            _log.warning(
                "raise python.state.cache-size (now %d) above the number of keys in a subtask: a bundle changed %d "
                "keys, and those that do not fit are read from Flink one by one",
                self._most,
                self._written,
            )
        written, self._written, self._displaced = self._written, 0, 0
        return written

    def _set_current_key(self, key: Any) -> None:
        """
        Set the current key, a row of one value, as PyFlink does for each event and timer.

        PyFlink compares two rows and encodes one, which takes longer than the rest of an operator. This method keeps
        the bytes of keys, but only of types in which equal keys have equal bytes, unlike 1 and 1.0.
        """
        if self._backend._all_states:  # a subclass of an operator has more state
            self._pyflinks_set_current_key(key)
            return
        value = key[0]
        if type(value) is str or type(value) is int:
            encoded = self._encoded.get(value)
            if encoded is None:
                if len(self._encoded) >= 10 * self._most:
                    self._encoded.clear()
                encoded = self._encoded[value] = self._encode(key)
        else:
            encoded = self._encode(key)
        self._backend._current_key, self._backend._encoded_current_key = key, encoded

    def _keep(self, key: bytes, value: Any) -> None:
        self._values[key] = value
        while len(self._values) > self._most:
            oldest, left = self._values.popitem(last=False)
            if oldest in self._changed:
                del self._changed[oldest]
                self._displaced += 1
                self._send(oldest, left)

    def _read(self, key: bytes) -> Any:
        exists, stored = self._get(self._key(key), ENTRY, self._encode_entry, self._decode_value)
        return loaded(stored) if exists else None

    def _send(self, key: bytes, value: Any) -> None:
        """Send a key's value. Flink handles requests in order, so the key may be read again before the response."""
        if value is None:
            request = self._clear(self._key(key))
        else:
            entry = (self._set, ENTRY, dumped(value))
            request = self._append(self._key(key), [entry], self._encode_entry, self._encode_value)
        self._written += 1
        self._pending.append(request)
        if len(self._pending) >= _AT_A_TIME:
            self._wait()

    def _wait(self) -> None:
        pending, self._pending = self._pending, []
        # The last one first: responses come in order, so this thread does not wake up for each of them.
        for request in reversed(pending):
            error = request.get().error
            if error:
                raise RuntimeError(f"see the TaskManager's log: Flink could not write an operator's state: {error}")

    def _key(self, key: bytes) -> Any:
        found = type(self._no_key)()
        found.CopyFrom(self._no_key)
        found.multimap_side_input.key = key
        return found


def kept_state(context: RuntimeContext, descriptor: MapStateDescriptor, group: str) -> StoredState | WorkerState:
    """
    Return state that stays in the worker; in thread mode and without metrics, state that every PyFlink supports.

    PyFlink reads gauges at the end of a bundle, so a gauge writes the state, as another one flushes the sink.

    :param descriptor: describes a map from strings to pickled values. The format is the same in both cases.
    :param group: the name of the gauge's metric group.
    """
    state = context.get_map_state(descriptor)
    metrics = context.get_metrics_group()
    if metrics is not None:
        try:
            kept = WorkerState(state)
        except AttributeError:
            pass
        else:
            metrics.add_group(group).gauge("numKeysWritten", kept.write)
            return kept
    return StoredState(state)

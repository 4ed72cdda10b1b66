"""Writes of state that don't wait for each other."""

from __future__ import annotations

from typing import Any

from pyflink.datastream.functions import RuntimeContext

#: How many writes may wait for Java at a time, which bounds their memory.
_AT_A_TIME = 2_000


class StateWrites:
    """
    The writes of one state at the end of a bundle, all of which are sent before the first is waited for.

    PyFlink keeps changed values until a bundle ends, and then sends Java one key's value, waits until it is written,
    and goes on to the next. This sends the same requests in the same order, and leaves PyFlink nothing to write. Like
    the sink's flush, it is a gauge, because PyFlink reads gauges at the end of a bundle, before it writes state.

    What it does not know, such as the state of thread mode or of another PyFlink, it leaves to PyFlink.

    :param state: of a key, as returned by ``context.get_state``.
    """

    def __init__(self, context: RuntimeContext, group: str, name: str, state: Any) -> None:
        self._state = state
        backend = getattr(state, "_remote_state_backend", None)
        self._cached: Any = getattr(backend, "_internal_state_cache", None)
        metrics = context.get_metrics_group()
        if self._cached is not None and metrics is not None:
            metrics.add_group(group).gauge(name, self.write)

    def write(self) -> int:
        """
        Write all changed values, and return how many.

        :raises RuntimeError: if Flink could not write one.
        """
        written = 0
        pending: list[Any] = []
        for value in (*self._cached, getattr(self._state, "_internal_state", None)):
            requests = _requests(value)
            written += bool(requests)
            pending += requests
            if len(pending) >= _AT_A_TIME:
                _wait(pending)
                pending = []
        _wait(pending)
        return written


def _requests(value: Any) -> list[Any]:
    """Send what has changed of a key's value, and return the answers to come."""
    try:
        handler, key, coder = value._state_handler, value._state_key, value._value_coder
        is_cleared, added = value._cleared, value._added_elements
    except AttributeError:
        return []
    requests = []
    if is_cleared:
        requests.append(handler.clear(key))
    if added:
        requests.append(handler.extend(key, coder.get_impl(), added))
    value._cleared, value._added_elements = False, []
    return requests


def _wait(pending: list[Any]) -> None:
    for request in pending:
        error = getattr(request.get(), "error", "")
        if error:
            raise RuntimeError(f"see the TaskManager's log: Flink could not write an operator's state: {error}")

"""A call that one thread at a time makes, with a failure that all waiting threads share."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import TypeVar

from pyflink_prometheus.errors import PrometheusSinkError

T = TypeVar("T")


class SharedCall:
    """
    A call that one thread at a time makes. Threads that wait for a call that fails share its failure.

    Otherwise, while a service is down, all shards of a writer would wait for its timeout, one after the other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0  # finished calls
        self._failure: PrometheusSinkError | None = None  # of the last call

    def run(self, action: Callable[[], T], otherwise: T | None = None) -> T:
        """
        Return what the call returns.

        :param action: the call.
        :param otherwise: returned at once while another thread makes the call; with ``None``, wait for that thread.
        """
        calls = self._calls
        if not self._lock.acquire(blocking=otherwise is None):
            return otherwise  # type: ignore[return-value]  # not None
        try:
            if calls == self._calls or self._failure is None:
                self._failure = None
                try:
                    return action()
                except PrometheusSinkError as error:
                    self._failure = error
                finally:
                    self._calls += 1
            failure = copy.copy(self._failure)  # with its own traceback
        finally:
            self._lock.release()
        raise failure

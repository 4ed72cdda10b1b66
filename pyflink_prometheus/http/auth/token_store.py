"""A token that all shards share, fetched by one of them."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.errors import CredentialsUnavailableError, PrometheusSinkError, SecretError

#: A token is replaced so long before its end, or at four fifths of its life if that is later.
REFRESH_BEFORE_S = 60.0
#: If it cannot be replaced, that is tried again after so many seconds, while it still lasts.
REFRESH_AGAIN_S = 5.0

_log = logging.getLogger(__name__)


class Token(NamedTuple):
    """
    A token.

    :param header: the value of the Authorization header.
    :param expires_at: its end, in seconds since 1970; ``None`` if it has none.
    """

    header: str
    expires_at: float | None

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at!r})"


class TokenStore:
    """
    A token in memory, replaced shortly before its end; used by all shards of a writer. It is pickled as an empty one.

    :param clock: the time by which tokens end.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._refresh_at: float | None = None
        self._fetches = 0  # that have ended
        self._failure: PrometheusSinkError | None = None  # of the last one

    def get(self, fetch: Callable[[], Token]) -> Token:
        """
        Return the token, or fetch it. Callers that come in the meantime wait for it, and share the failure if it fails.

        A token that has not ended yet is kept if no other can be had.

        :raises SecretError: if there is none, and fetching it failed for good.
        :raises CredentialsUnavailableError: if there is none at the moment.
        """
        if (token := self._current()) is not None:
            return token
        fetches = self._fetches
        if not self._lock.acquire(blocking=self._lasting() is None):
            token = self._lasting()  # another shard is replacing it
            return self.get(fetch) if token is None else token
        try:
            if (token := self._current()) is not None:
                return token
            if fetches == self._fetches:
                self._fetch(fetch)
            token = self._lasting()
            failure = self._failure
        finally:
            self._lock.release()
        if token is not None:
            return token
        raise SecretError("no token could be had") if failure is None else copy.copy(failure)

    def drop(self, header: str | None) -> None:
        """Forget the token if it is the one with this header: another shard may have replaced it already."""
        with self._lock:
            if self._token is not None and self._token.header == header:
                self._token = None

    def _fetch(self, fetch: Callable[[], Token]) -> None:
        self._failure = None
        try:
            self._token = token = fetch()
        except (SecretError, CredentialsUnavailableError) as error:
            self._failure = error
            self._refresh_at = self._clock.time() + REFRESH_AGAIN_S
            if self._lasting() is not None:
                _log.warning("the token is used until it ends, because it cannot be replaced: %s", error)
        else:
            now = self._clock.time()
            life_s = None if token.expires_at is None else max(0.0, token.expires_at - now)
            self._refresh_at = None if life_s is None else now + max(life_s - REFRESH_BEFORE_S, 0.8 * life_s)
        finally:
            self._fetches += 1

    def _current(self) -> Token | None:
        """Return the token if it need not be replaced yet."""
        token, refresh_at = self._token, self._refresh_at
        return token if token is not None and (refresh_at is None or self._clock.time() < refresh_at) else None

    def _lasting(self) -> Token | None:
        """Return the token if it has not ended."""
        token = self._token
        if token is None or token.expires_at is None or self._clock.time() < token.expires_at:
            return token
        return None

    def __reduce__(self) -> tuple[object, ...]:
        return TokenStore, (self._clock,)

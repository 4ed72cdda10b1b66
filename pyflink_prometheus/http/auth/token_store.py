"""A token that one shard fetches and all shards share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.errors import CredentialsUnavailableError, SecretError
from pyflink_prometheus.http.auth.shared_call import SharedCall

#: How many seconds before its expiry a token is replaced; after four fifths of its lifetime if that is later.
REFRESH_BEFORE_S = 60.0
#: The delay between attempts to replace a token that is about to expire, in seconds.
REFRESH_AGAIN_S = 5.0

_log = logging.getLogger(__name__)


class Token(NamedTuple):
    """
    A token.

    :param header: the value of the Authorization header.
    :param expires_at: its expiry, in seconds since 1970; ``None`` if it does not expire.
    """

    header: str
    expires_at: float | None

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at!r})"


class TokenStore:
    """
    A token in memory, replaced shortly before it expires; used by all shards of a writer. It is pickled empty.

    :param clock: the clock for the expiry of tokens.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._call = SharedCall()
        self._token: Token | None = None
        self._refresh_at: float | None = None

    def get(self, fetch: Callable[[], Token]) -> Token:
        """
        Return the token, or fetch it. Concurrent callers wait for it, and share the failure if fetching it fails.

        A token that has not expired yet is kept if no other is available.

        :raises SecretError: if there is none, and fetching it failed for good.
        :raises CredentialsUnavailableError: if there is none at the moment.
        """
        if (token := self._current()) is not None:
            return token
        return self._call.run(lambda: self._renewed(fetch), otherwise=self._lasting())

    def drop(self, header: str | None) -> None:
        """Forget the token if it has this header: another shard may have replaced it already."""
        if self._token is not None and self._token.header == header:
            self._token = None

    def _renewed(self, fetch: Callable[[], Token]) -> Token:
        """Return the token that another thread has fetched, else fetch one, else keep one that has not expired."""
        if (token := self._current()) is not None:
            return token
        try:
            self._token = token = fetch()
        except (SecretError, CredentialsUnavailableError) as error:
            lasting, failure = self._lasting(), error
            self._refresh_at = self._clock.time() + REFRESH_AGAIN_S
        else:
            now = self._clock.time()
            life_s = None if token.expires_at is None else max(0.0, token.expires_at - now)
            self._refresh_at = None if life_s is None else now + max(life_s - REFRESH_BEFORE_S, 0.8 * life_s)
            return token
        if lasting is None:
            raise failure
        _log.warning("the current token stays in use until it expires, because it cannot be replaced: %s", failure)
        return lasting

    def _current(self) -> Token | None:
        """Return the token if it does not have to be replaced yet."""
        token, refresh_at = self._token, self._refresh_at
        return token if token is not None and (refresh_at is None or self._clock.time() < refresh_at) else None

    def _lasting(self) -> Token | None:
        """Return the token if it has not expired."""
        token = self._token
        if token is None or token.expires_at is None or self._clock.time() < token.expires_at:
            return token
        return None

    def __reduce__(self) -> tuple[object, ...]:
        return TokenStore, (self._clock,)

"""A token that shards share, along with a failure to get it."""

from __future__ import annotations

import pickle
import sys
import threading
import time

import pytest

from pyflink_prometheus import CredentialsUnavailableError, SecretError
from pyflink_prometheus.http.auth.token_store import Token, TokenStore
from pyflink_prometheus.testing import FakeClock

KINDS = [CredentialsUnavailableError("not now", retry_after_s=7.0), SecretError("never")]


def wait_in_run(threads):
    """Return once all threads wait for the thread that fetches."""
    while True:
        frames = [sys._current_frames().get(thread.ident) for thread in threads]
        if all(frame and frame.f_code.co_name == "run" and "calls" in frame.f_locals for frame in frames):
            return
        time.sleep(0)


@pytest.mark.parametrize("failure", KINDS, ids=lambda each: type(each).__name__)
def test_those_who_wait_for_a_token_share_the_failure(failure):
    store, failed, fetches = TokenStore(FakeClock()), [], []
    others: list[threading.Thread] = []

    def fetch():
        fetches.append(1)
        others.extend(threading.Thread(target=get) for _ in range(7))
        for thread in others:
            thread.start()
        wait_in_run(others)
        raise failure

    def get():
        with pytest.raises(type(failure)) as error:
            store.get(fetch)
        failed.append(error.value)

    get()
    for thread in others:
        thread.join(60)
    assert len(fetches) == 1
    assert {str(each) for each in failed} == {str(failure)}
    assert len({id(each) for each in failed}) == 8  # each has its own traceback
    assert {getattr(each, "retry_after_s", None) for each in failed} == {getattr(failure, "retry_after_s", None)}
    assert all(each.__context__ is None and each.__cause__ is None for each in failed)


def test_who_comes_later_tries_again():
    store, clock = TokenStore(FakeClock()), FakeClock()

    def fail():
        raise SecretError("never")

    with pytest.raises(SecretError):
        store.get(fail)
    assert store.get(lambda: Token("Bearer t", clock.time() + 60)).header == "Bearer t"


def test_while_one_shard_replaces_a_token_the_others_use_the_one_that_has_not_ended():
    clock = FakeClock()
    store = TokenStore(clock)
    store.get(lambda: Token("Bearer old", clock.time() + 3600))
    clock.advance(3590)
    used = []

    def fetch():
        other = threading.Thread(target=lambda: used.append(store.get(fetch).header))
        other.start()
        other.join(60)
        return Token("Bearer new", clock.time() + 3600)

    assert store.get(fetch).header == "Bearer new"
    assert used == ["Bearer old"]


def test_what_a_fetch_raises_by_mistake_is_not_hidden():
    store = TokenStore(FakeClock())

    def fail():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            store.get(fail)


def test_no_repr_and_no_pickle_has_the_token():
    store = TokenStore()
    token = store.get(lambda: Token("Bearer hunter2", None))
    assert "hunter2" not in f"{token} {store}"
    assert b"hunter2" not in pickle.dumps(store)
    assert pickle.loads(pickle.dumps(store)).get(lambda: Token("Bearer other", None)).header == "Bearer other"

"""Libraries' messages from a thread that handles secrets are kept out of the log."""

from __future__ import annotations

import logging
import threading

from pyflink_prometheus.http.auth.extras import quiet


def test_nothing_of_a_quiet_thread_is_logged_whenever_the_logger_was_made(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    handler = logging.StreamHandler()
    logging.getLogger("a_library").addHandler(handler)
    before = logging.getLogger("a_library.before")
    with quiet("a_library", "no_library"):
        for logger in (logging.getLogger("a_library"), before, logging.getLogger("a_library.within.it")):
            logger.debug("hunter2")
            logger.warning("hunter2")
            logger.error("hunter2", exc_info=ValueError("hunter2"))
        logging.getLogger("of_the_user").info("another")
        with quiet("a_library"):
            pass
        before.info("hunter2")
    logging.getLogger("a_library").removeHandler(handler)
    assert [record.getMessage() for record in caplog.records] == ["another"]
    assert "hunter2" not in "".join(capfd.readouterr())


def test_other_threads_and_what_comes_afterwards_are_logged(caplog):
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("a_library.it")
    with quiet("a_library"):
        other = threading.Thread(target=lambda: logger.info("of another thread"))
        other.start()
        other.join()
    logger.info("afterwards")
    assert [record.getMessage() for record in caplog.records] == ["of another thread", "afterwards"]


def test_a_library_s_logger_is_set_up_as_before(caplog):
    logger = logging.getLogger("another_library")
    with quiet("another_library"):
        pass
    logger.propagate = False
    logger.warning("kept to itself")
    assert caplog.records == []
    logger.propagate = True
    logger.warning("passed on")
    assert [record.getMessage() for record in caplog.records] == ["passed on"]

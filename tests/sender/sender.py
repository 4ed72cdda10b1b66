"""
Scrape a page of metrics at intervals and write all of it by Remote-Write, as Prometheus would: a sender to test.

    python sender.py --scrape http://localhost:8080/metrics --remote-write http://localhost:9090/api/v1/write

It puts the writer of the sink through the sender's part of Prometheus's public compliance suite; README.md in this
folder says how. A failed scrape or write is logged and the program goes on. While a write is being retried nothing is
scraped. It ends on SIGINT or SIGTERM, and marks no series as stale then: when it starts again, it carries on with them.
"""

from __future__ import annotations

import signal

SIGNALS = {signal.SIGINT, signal.SIGTERM}


def main() -> None:
    """Send until a signal comes."""
    hold_signals()
    # These take their time, and a signal that comes meanwhile is held already.
    import logging
    import threading

    from scraping import ScrapingSender, parse_arguments

    sender = ScrapingSender(parse_arguments((__doc__ or "").strip().partition("\n")[0]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    threading.Thread(target=sender.run, daemon=True).start()
    signal.sigwait(SIGNALS)
    sender.stop()


def hold_signals() -> None:
    """
    Keep the signals that end the program until they are waited for.

    A handler would run in the middle of whatever lock the thread holds just then. SIGINT may be ignored, as it is where
    a shell starts a program in the background, and a signal that is ignored need not be kept.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()

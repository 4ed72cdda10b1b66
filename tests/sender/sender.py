"""
Scrape a page of metrics at intervals and write all of it by Remote-Write, as Prometheus would: a sender to test.

    python sender.py --scrape http://localhost:8080/metrics --remote-write http://localhost:9090/api/v1/write

With it, the sink's writer runs through the sender's part of Prometheus's public compliance suite; README.md in this
folder says how. A failed scrape or write is logged, and the program continues. Nothing is scraped while a write is
being retried. It ends on SIGINT or SIGTERM without marking series as stale: when it starts again, it continues them.
"""

from __future__ import annotations

import signal

SIGNALS = {signal.SIGINT, signal.SIGTERM}


def main() -> None:
    """Send until a signal arrives."""
    hold_signals()
    # These imports take time, and a signal that arrives meanwhile is already kept.
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
    Keep the signals that end the program until it waits for them.

    A handler could run while the thread holds any lock. SIGINT may be ignored, as in a program that a shell starts in
    the background, and an ignored signal need not be kept.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()

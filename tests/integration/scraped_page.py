"""A page of metrics on loopback for a Prometheus to scrape."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class ScrapedPage:
    """
    A server for one page, in the text format that allows any UTF-8 in names.

    :param series: the labels of each series, including ``__name__``, and its value.
    """

    def __init__(self, series: list[tuple[dict[str, str], int]]) -> None:
        page = "".join(f"{_selector(labels)} {value}\n" for labels, value in series).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=1.0.0; escaping=allow-utf-8; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ScrapedPage:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _selector(labels: dict[str, str]) -> str:
    name = _quoted(labels["__name__"])
    others = [f"{_quoted(name)}={_quoted(value)}" for name, value in labels.items() if name != "__name__"]
    return f"{{{','.join([name, *others])}}}"


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'

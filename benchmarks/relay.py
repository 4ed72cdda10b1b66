"""A relay, in a separate process, that adds latency to a receiver."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 1 << 18


@contextlib.contextmanager
def far_away(url: str, round_trip_ms: float) -> Iterator[str]:
    """Yield a loopback URL that forwards to this one, with an added round-trip time."""
    parts = urlsplit(url)
    ours, theirs = multiprocessing.Pipe()
    arguments = (theirs, parts.hostname, parts.port, round_trip_ms / 2000)
    process = multiprocessing.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    try:
        yield urlunsplit(parts._replace(netloc=f"127.0.0.1:{ours.recv()}"))
    finally:
        process.terminate()
        process.join()


def _serve(port: Connection, host: str, upstream_port: int, delay_s: float) -> None:
    async def run() -> None:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection(host, upstream_port, limit=_CHUNK)
            await asyncio.gather(_carry(reader, up_writer, delay_s), _carry(up_reader, writer, delay_s))

        server = await asyncio.start_server(relay, "127.0.0.1", 0, limit=_CHUNK)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Forward all data, each piece after the delay, however much is in flight."""
    loop = asyncio.get_running_loop()
    in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, piece = await in_flight.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    arriving = asyncio.create_task(arrive())
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_CHUNK):
            in_flight.put_nowait((loop.time() + delay_s, piece))
    in_flight.put_nowait((loop.time() + delay_s, b""))
    with contextlib.suppress(ConnectionError):
        await arriving

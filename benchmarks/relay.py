"""A relay in a process of its own that makes a receiver farther away than it is."""

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
    """Give a URL on loopback that leads to this one, by a way that takes so long there and back."""
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
    """Pass on all that comes, each piece after the delay, however much is on its way."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, piece = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    arriving = asyncio.create_task(arrive())
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_CHUNK):
            on_the_way.put_nowait((loop.time() + delay_s, piece))
    on_the_way.put_nowait((loop.time() + delay_s, b""))
    with contextlib.suppress(ConnectionError):
        await arriving

"""A TCP proxy that can be slow, cut, or deaf, between workers and one server.

As on a real wire, no byte goes missing within a connection: what is held comes later, or the connection ends.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

HOST = "127.0.0.1"
CHUNK_BYTES, CHUNKS = 65_536, 64
"""What one direction of a connection keeps at the most: 4 MB."""
_LOOK_S = 0.01


class Proxy:
    """Forwards in a thread of its own, so that the suite's own work delays nobody.

    Attributes:
        delay_s: how long each byte is on its way, in each direction.
        holds_requests: nothing goes on to the server; connections are accepted all the same.
        holds_answers: nothing comes back from it.
        refuses: new connections end at once.
    """

    def __init__(self, port: int, server_port: int) -> None:
        """Forward a port of this machine to another.

        Args:
            port: where clients connect.
            server_port: where the server listens; it may be away.
        """
        self.port = port
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.heal()

    def heal(self) -> None:
        """Only forward, from now on."""
        self.delay_s, self.holds_requests, self.holds_answers, self.refuses = 0.0, False, False, False

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: if somebody else does there.
        """
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def cut(self) -> None:
        """End every connection now, with what is on its way."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._connections])

    def stop(self) -> None:
        """End all."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _close(self) -> None:
        if self._server is not None:  # somebody else had the port
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it or somebody cuts it."""
        task = asyncio.ensure_future(self._connect(reader, writer))
        self._connections.add(task)
        try:
            await asyncio.gather(task, return_exceptions=True)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if self.refuses:
                return
            server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
            try:
                ways = [
                    asyncio.ensure_future(self._way(reader, server_writer, "holds_requests")),
                    asyncio.ensure_future(self._way(server_reader, writer, "holds_answers")),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                server_writer.transport.abort()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, holds: str) -> None:
        """One direction: what was read is written when its time has come, in its order."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS)
        reading = asyncio.ensure_future(self._read(reader, on_the_way))
        try:
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - self._loop.time())
                while getattr(self, holds):  # noqa: ASYNC110 - it is set by another thread
                    await asyncio.sleep(_LOOK_S)
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        finally:
            reading.cancel()

    async def _read(self, reader: asyncio.StreamReader, on_the_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"?"
        while data:
            data = b""
            with suppress(OSError):
                data = await reader.read(CHUNK_BYTES)
            await on_the_way.put((self._loop.time() + self.delay_s, data))

"""A TCP proxy that does to connections what networks do: cut, delay, half-close, truncate, lose."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Final

from service.processes import HOST

#: What can be the matter with a network; see :meth:`Proxy.kill`.
FAULTS: Final = ("cut", "delay", "half-close", "truncate", "lose answers")
_CHUNK: Final = 64 * 1024
#: Seconds that a chunk waits while connections are slow.
_DELAYS: Final = (0.02, 0.4)


class _Pair:
    """One connection from a client, and the one to the server that it stands for."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server

    def abort(self) -> None:
        """End it on both sides at once: what is on its way is lost."""
        for end in (self.client, self.server):
            transport = end.transport
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()

    def half_close(self) -> None:
        """Tell the server that no more is coming, and let it answer what it has."""
        with suppress(OSError, RuntimeError):
            if not self.server.is_closing() and self.server.can_write_eof():
                self.server.write_eof()


class Proxy:
    """Stands before the server at ``target``; one thread runs all of its connections.

    It is killed and started as processes are: :meth:`kill` draws a fault, :meth:`start` heals it.
    """

    def __init__(self, target: Callable[[], int], chance: random.Random) -> None:
        """Pass everything on to the port that ``target`` returns whenever somebody connects."""
        self._target = target
        self._chance = chance
        self._pairs: set[_Pair] = set()
        self._fault: str | None = None
        self._loop = asyncio.new_event_loop()
        self._listens = Event()
        self.port = 0
        #: What :meth:`kill` draws from.
        self.draws: Sequence[str] = FAULTS
        #: How often each fault was the matter.
        self.faults: Counter[str] = Counter()
        self._thread = Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        self._listens.wait(10)

    def kill(self) -> None:
        """Let a fault, drawn at random, befall every connection there is and every new one.

        ``cut`` ends them and takes none; ``delay`` holds up each piece; ``half-close`` ends the
        way to the server, not the way back; ``truncate`` passes half of a piece on and cuts;
        ``lose answers`` lets the server do what it was asked and cuts when it says so.
        """
        fault = self._chance.choice(self.draws)
        self.faults[fault] += 1
        self._call(self._break, fault)

    def start(self) -> None:
        """Be a good network again. What a fault has touched is not mended: it is cut."""
        self._call(self._heal)

    def stop(self) -> None:
        """Cut everything and stop listening."""
        self._call(self._break, "cut")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _call(self, what: Callable[..., None], *arguments: object) -> None:
        done = Event()

        def doing() -> None:
            what(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(doing)
        assert done.wait(10)

    def _break(self, fault: str) -> None:
        self._fault = fault
        for pair in list(self._pairs):
            if fault == "cut":
                pair.abort()
            elif fault == "half-close":
                pair.half_close()

    def _heal(self) -> None:
        if self._fault not in {None, "delay"}:
            for pair in list(self._pairs):
                pair.abort()
        self._fault = None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._meet, HOST, 0))
        self.port = int(server.sockets[0].getsockname()[1])
        self._listens.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        if self._fault == "cut":
            transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection(HOST, self._target())
        except OSError:
            transport.abort()
            return
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        if self._fault == "half-close":
            pair.half_close()
        try:
            await asyncio.gather(
                self._pump(pair, reader, server, answers=False),
                self._pump(pair, answers, writer, answers=True),
            )
        except asyncio.CancelledError:
            pass  # the proxy stops
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _pump(
        self,
        pair: _Pair,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with suppress(OSError, RuntimeError):
            while piece := await reader.read(_CHUNK):
                if self._fault == "delay":
                    await asyncio.sleep(self._chance.uniform(*_DELAYS))
                elif self._fault == "truncate":
                    writer.write(piece[: len(piece) // 2])
                    await writer.drain()
                    break
                elif self._fault == "lose answers" and answers:
                    break
                writer.write(piece)
                await writer.drain()
            else:
                if writer.can_write_eof():
                    writer.write_eof()
                return
        pair.abort()

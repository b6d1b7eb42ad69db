"""A TCP proxy that does on purpose what networks and servers do by accident; for tests that measure through
it.

`with Proxy(port) as proxy:` listens on `proxy.port` and leads to 127.0.0.1:port. `proxy.fault = ...` changes
what it does from the next connection on; connections under way are cut, as a fault would. It has a thread and
an event loop of its own, so tests with and without asyncio, and other processes, may use it. Faults:

    Pass()            leads on
    Delay(seconds)    leads on, each way later by so much
    Loss(share, seed) that share of connections is never answered, drawn from the seed
    Refuse()          nobody listens: the system refuses
    Dead()            as a host that is off: not even the first packet is answered
    HalfOpen()        accepts, then silence
    Slow(rate)        leads on with so many bytes a second
    Banner(data)      sends these bytes, and takes whatever comes
    Cut(after)        leads on, and cuts after so many bytes from the server
    Flood()           sends bytes without an end
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Pass:
    pass


@dataclass(frozen=True)
class Delay:
    seconds: float


@dataclass(frozen=True)
class Loss:
    share: float
    seed: int = 1


@dataclass(frozen=True)
class Refuse:
    pass


@dataclass(frozen=True)
class Dead:
    pass


@dataclass(frozen=True)
class HalfOpen:
    pass


@dataclass(frozen=True)
class Slow:
    rate: int


@dataclass(frozen=True)
class Banner:
    data: bytes


@dataclass(frozen=True)
class Cut:
    after: int = 0


@dataclass(frozen=True)
class Flood:
    pass


Fault = Pass | Delay | Loss | Refuse | Dead | HalfOpen | Slow | Banner | Cut | Flood


class Proxy:
    """One proxy; `connections` counts those it accepted."""

    def __init__(self, target: int, fault: Fault = Pass(), port: int = 0) -> None:  # noqa: B008  frozen
        self._target, self._fault = target, fault
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._plug: list[socket.socket] = []
        self._open: set[asyncio.Task[Any]] = set()
        self._random = random.Random(0)
        self.connections = 0
        with socket.create_server((_HOST, port)) as found:
            self.port = int(found.getsockname()[1])

    @property
    def fault(self) -> Fault:
        """What it does now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._do(self._become(fault))

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._become(self._fault))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _become(self, fault: Fault) -> None:
        await self._shut()
        self._fault = fault
        if isinstance(fault, Loss):
            self._random = random.Random(fault.seed)
        if isinstance(fault, Dead):
            self._plug_up()
        elif not isinstance(fault, Refuse):
            self._server = await asyncio.start_server(self._serve, _HOST, self.port)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        for plug in self._plug:
            plug.close()
        self._plug = []

    def _plug_up(self) -> None:
        """Listen with a queue that is full: the system then answers no first packet of anybody."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, self.port))
        listener.listen(0)
        self._plug = [listener]
        for _ in range(3):
            own = socket.socket()
            own.setblocking(False)
            own.connect_ex((_HOST, self.port))
            self._plug.append(own)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            await self._treat(reader, writer, self._fault)
        except (OSError, asyncio.CancelledError):
            pass  # the other side went, or a fault ends it: either way the connection is over
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
        lost = isinstance(fault, Loss) and self._random.random() < fault.share
        if lost or isinstance(fault, HalfOpen):
            await asyncio.Event().wait()
        if isinstance(fault, Banner):
            writer.write(fault.data)
            while await reader.read(4096):
                pass
        elif isinstance(fault, Flood):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        elif isinstance(fault, Cut) and not fault.after:
            return
        else:
            await self._lead(reader, writer, fault)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
        far_reader, far_writer = await asyncio.open_connection(_HOST, self._target)
        back = asyncio.create_task(self._pump(far_reader, writer, fault, back=True))
        there = asyncio.create_task(self._pump(reader, far_writer, fault, back=False))
        try:
            await back
        finally:
            there.cancel()
            back.cancel()
            far_writer.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, fault: Fault, *, back: bool
    ) -> None:
        left = fault.after if isinstance(fault, Cut) and back else None
        size = 1 if isinstance(fault, Slow) else 65_536
        with contextlib.suppress(OSError):
            while data := await source.read(size):
                if isinstance(fault, Delay):
                    await asyncio.sleep(fault.seconds)
                if isinstance(fault, Slow):
                    await asyncio.sleep(1 / fault.rate)
                if left is not None:
                    data, left = data[:left], left - len(data)
                sink.write(data)
                await sink.drain()
                if left is not None and left <= 0:
                    return

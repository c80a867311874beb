"""The emulator: a real HTTP server on 127.0.0.1 in front of a world, with optional faults."""

import asyncio
import errno
import json
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack
from email.utils import formatdate
from http import HTTPStatus
from threading import Thread
from typing import Any, Final, Self

from aiohttp import web
from multidict import CIMultiDict

from enapter_async.emulator.faults import (
    Drop,
    Fault,
    FaultProfile,
    Faults,
    Hang,
    Latency,
    Reply,
    ServerFailure,
    Target,
    TooManyRequests,
    Truncate,
    WrongJSON,
)
from enapter_async.emulator.request import Call, Raw
from enapter_async.emulator.routes import TOKEN_HEADER, NounT, Routes, parse
from enapter_async.emulator.state import Refusal, Timestamps
from enapter_async.emulator.streams import Streams
from enapter_async.emulator.world import World

HOST: Final = "127.0.0.1"

_JSON: Final = "application/json"
# struct linger {on, seconds}: its fields are shorts on Windows.
_RESET_ON_CLOSE: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_SHUTDOWN_SECONDS: Final = 0.1
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Emulator:
    """A server that behaves as the API page specifies, for demos and tests.

    ::

        async with Emulator(devices=200, seed=1) as emulator:
            emulator.base_url, emulator.token      # for the client
            emulator.faults.add(Drop(after_effect=True), method="PATCH")
            ...
            emulator.world.effects_of(device_id, "update")     # what really happened

    A plain `with` serves from a separate thread, so that a program or test that has no event
    loop, or blocks it, also gets answers; faults are then chosen in that thread.

    `token` is accepted with the role that the fleet defines for each device; `tokens` maps further
    tokens to their role on every device; None means the fleet's roles. `timestamps` is "rfc3339" as
    live servers send, or "unix" as on the API page. `world` replaces the seeded fleet; `faults` is
    a `Faults` or a `FaultProfile`. `port=0` uses any free port. With `keep_records=False` the log
    of a seeded world only counts. `sleep` (for latency) and `now` are for tests.

    `streams` holds the websockets: what devices send, and how they break.

    `base_url` serves `/v3`, and also `/api/v3` as a gateway does. The server listens only on
    127.0.0.1, and its tokens protect nothing: do not use it for real data.
    """

    def __init__(
        self,
        *,
        devices: int = 200,
        seed: int = 1,
        token: str = "emulator-token",  # noqa: S107 - protects only invented devices
        tokens: Mapping[str, str | None] | None = None,
        timestamps: Timestamps = "rfc3339",
        world: World | None = None,
        faults: Faults | FaultProfile | None = None,
        port: int = 0,
        keep_records: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        if world is None:
            world = World.seeded(devices, seed, keep_records=keep_records, now=now)
        self.world = world
        self.token = token
        self.faults = faults if isinstance(faults, Faults) else Faults(faults)
        self.timestamps = timestamps
        accepted = {token: None, **(tokens or {})}
        self._routes = Routes(world, tokens=accepted, timestamps=timestamps)
        self.streams = Streams(world, self._routes, timestamps)
        self._wanted_port = port
        self._sleep = sleep
        self._now = now
        self._runner: web.ServerRunner | None = None
        self._port = 0
        self._waiting: set[asyncio.Task[Any]] = set()
        self._thread = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            loop = asyncio.new_event_loop()
            stack.callback(loop.close)
            thread = Thread(target=loop.run_forever, name="emulator", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(loop.call_soon_threadsafe, loop.stop)
            asyncio.run_coroutine_threadsafe(self.__aenter__(), loop).result()
            stack.callback(
                lambda: asyncio.run_coroutine_threadsafe(self.__aexit__(), loop).result()
            )
            self._thread = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._thread.close()

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._wanted_port).start()
            self._port = _port_of(runner)
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        runner, self._runner = self._runner, None
        waiting = tuple(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if runner is not None:
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        if self._runner is None:
            raise RuntimeError("the emulator is not running: use `async with`")
        return self._port

    @property
    def base_url(self) -> str:
        """The URL of the server, for use as a client's `base_url`."""
        return f"http://{HOST}:{self.port}"

    def noun(self, kind: type[NounT]) -> NounT:
        """Return a noun of the API, such as `Configuration`, to set its switches or inspect it."""
        return self._routes.noun(kind)

    def has(self, path: str) -> bool:
        """Return whether the API answers a read of this path with an object; nothing is logged."""
        status, _ = self._routes.respond(parse("GET", path), token=self.token, body=b"")
        return status != HTTPStatus.NOT_FOUND

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = parse(request.method, request.raw_path.partition("?")[0])
        streams = request.headers.get("Upgrade", "").lower() == "websocket"
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            refusal = Refusal(400, "too_large", "The body is too large.")
            return _answer(refusal.status, refusal.envelope())
        address, site_id = call.device, call.site_id
        device_id = None if address is None else self.world.id_of(address, site_id=site_id)
        target = Target(
            method=call.method, path=call.path, device=call.device, device_id=device_id, body=body
        )
        fault = self.faults.pick(target)
        self.world.log.arrived(
            call.method,
            call.path,
            device_id=device_id or call.device,
            fault=None if fault is None else type(fault).__name__,
        )
        if fault is None and streams:
            return await self._stream(request)
        if fault is None:
            return self._carry_out(request, call, body)
        return await self._meet(fault, request, call, body)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self.streams.serve(request, request.headers.get(TOKEN_HEADER))
        except Refusal as refusal:
            return _answer(refusal.status, refusal.envelope())

    def _carry_out(self, request: web.BaseRequest, call: Call, body: bytes) -> web.Response:
        status, shown = self._routes.respond(
            call,
            token=request.headers.get(TOKEN_HEADER),
            query=tuple(request.query.items()) if "?" in request.raw_path else (),
            body=body,
            content_type=request.headers.get("Content-Type", ""),
        )
        # aiohttp's own `Date` comes from this machine's clock.
        date = {} if self._now is time.time else {"Date": formatdate(self._now(), usegmt=True)}
        if isinstance(shown, Raw):
            headers = CIMultiDict((*shown.headers, *date.items()))
            return web.Response(status=status, body=shown.body, headers=headers)
        return _answer(status, shown, date)

    async def _meet(
        self, fault: Fault, request: web.BaseRequest, call: Call, body: bytes
    ) -> web.StreamResponse:
        if isinstance(fault, Latency):
            return await self._later(fault.seconds, request, call, body)
        answer = self._carry_out(request, call, body) if fault.after_effect else web.Response()
        match fault:
            case Hang():
                return await self._hang(request)
            case Drop():
                return _drop(request, reset=fault.reset)
            case Truncate():
                return _truncate(request, answer, fault.keep)
            case _:
                return self._wrong_answer(fault)

    async def _later(
        self, seconds: float, request: web.BaseRequest, call: Call, body: bytes
    ) -> web.StreamResponse:
        async def wait_and_carry_out() -> web.Response:
            await self._sleep(seconds)
            return self._carry_out(request, call, body)

        # A client that disconnects cancels this handler, but not its request: a real request also
        # arrives if its sender gave up.
        task = self._keep(wait_and_carry_out())
        await asyncio.wait({task})
        return _drop(request, reset=False) if task.cancelled() else task.result()

    async def _hang(self, request: web.BaseRequest) -> web.StreamResponse:
        task = self._keep(asyncio.Event().wait())
        try:
            # Ends with the emulator; a client that disconnects cancels it.
            await asyncio.wait({task})
        finally:
            task.cancel()
        return _drop(request, reset=False)

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    def _wrong_answer(
        self, fault: TooManyRequests | ServerFailure | WrongJSON | Reply
    ) -> web.Response:
        match fault:
            case TooManyRequests(retry_after=int(seconds)):
                when = formatdate(self._now() + seconds, usegmt=True)
                return _later_please(429, when if fault.as_date else str(seconds))
            case TooManyRequests():
                return _html(429)
            case ServerFailure(retry_after=int(seconds)):
                return _later_please(fault.status, str(seconds))
            case ServerFailure():
                return _html(fault.status)
            case WrongJSON():
                return web.Response(body=fault.body, content_type=_JSON)
            case Reply():
                headers = {"Content-Type": fault.content_type, **fault.headers}
                return web.Response(status=fault.status, body=fault.body, headers=headers)


def _port_of(runner: web.ServerRunner) -> int:
    if not runner.addresses:  # asyncio would continue without a socket that it could not open
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    port: int = runner.addresses[0][1]
    return port


def _answer(
    status: int, shown: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    body = _encode(shown).encode()
    return web.Response(status=status, body=body, content_type=_JSON, headers=headers)


def _later_please(status: int, retry_after: str) -> web.Response:
    refusal = Refusal(status, "try_again_later", "Not now.")
    return _answer(status, refusal.envelope(), {"Retry-After": retry_after})


def _html(status: int) -> web.Response:
    title = f"{status} {_PHRASES.get(status, 'Unknown')}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return web.Response(status=status, body=page.encode(), content_type="text/html")


def _truncate(request: web.BaseRequest, answer: web.Response, keep: float) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else b""
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    head = (
        f"HTTP/1.1 {answer.status} {answer.reason}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    )
    if request.transport is not None:
        request.transport.write(head.encode() + body[: int(len(body) * keep)])
    return _drop(request, reset=False)


def _drop(request: web.BaseRequest, *, reset: bool) -> web.Response:
    transport = request.transport
    if transport is not None and reset:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
        )
        transport.abort()
    elif transport is not None:
        transport.close()
    # Never sent: the connection is already closed.
    return web.Response()

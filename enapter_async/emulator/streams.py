"""The emulator's websockets: what devices and rules send, and how a stream can break."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from aiohttp import WSCloseCode, web

from enapter_async.emulator.logs import Logs, check
from enapter_async.emulator.request import no_endpoint
from enapter_async.emulator.routes import Routes, parse
from enapter_async.emulator.rules import Rules
from enapter_async.emulator.state import Timestamps, moment, told
from enapter_async.emulator.world import World

_HALF_A_FRAME: Final = b"\x81\x7e\x01\x00" + b'{"timestamp"'
"""The head of a text frame of 256 bytes, and its first ones."""


@attrs.frozen(kw_only=True, eq=False)
class _Open:
    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    kind: str
    of: frozenset[str]
    query: Mapping[str, str]
    queue: asyncio.Queue[str] = attrs.field(factory=asyncio.Queue)


class Streams:
    """The open websockets of the emulator.

    A device or a rule sends by `log`, `telemetry`, `properties` and `rule_log`. `drop` cuts all
    sockets off, `close` closes them with a code, and while `stalled` is set, new ones neither send
    nor answer pings. With `nested`, the frames of logs hold the log in an object, as newer servers
    do.
    """

    def __init__(self, world: World, routes: Routes, timestamps: Timestamps) -> None:
        self.world = world
        self.nested = True
        self.stalled = False
        self.when_opened: Callable[[str, frozenset[str]], None] = lambda _kind, _of: None
        """Called with the kind of each new stream (logs, telemetry, devices, rules) and its ids."""
        self._routes = routes
        self._timestamps: Timestamps = timestamps
        self._open: set[_Open] = set()
        self._opened = asyncio.Condition()
        self.count = 0
        """How many sockets were opened so far."""

    async def opened(self, count: int) -> None:
        """Wait until `count` sockets have been opened."""
        async with self._opened:
            await self._opened.wait_for(lambda: self.count >= count)

    def log(
        self, device_id: str, message: str, *, severity: str = "info", persist: bool = True
    ) -> None:
        """Let a device write a log: it is sent, and kept if the device asked for that."""
        logs = self._routes.noun(Logs)
        record = logs.write(device_id, message, severity=severity, persist=persist)
        shown = record.to_json(self._timestamps)
        head = {name: shown[name] for name in ("timestamp", "received_at")}
        body = {name: shown[name] for name in ("severity", "message")}
        frame = {**head, "log": body} if self.nested else {**head, **body}
        self._send("logs", device_id, frame, record.is_wanted)
        self._send("devices", device_id, {"device_id": device_id, **head, "log": body})

    def telemetry(self, device_id: str, values: Mapping[str, Any]) -> None:
        """Let a device send telemetry."""
        now = self.world.now()
        self._send("telemetry", device_id, {"timestamp": int(now), **values})
        self._event(device_id, "telemetry", values)

    def properties(self, device_id: str, values: Mapping[str, Any]) -> None:
        """Let a device send properties."""
        self._event(device_id, "properties", values)

    def rule_log(self, rule_id: str, message: str, *, severity: str = "info") -> None:
        """Let a rule write a log."""
        frame = {"timestamp": int(self.world.now()), "severity": severity, "message": message}
        self._send("rules", rule_id, frame)

    def text(self, text: str) -> None:
        """Send this text as one frame to all sockets, whatever it is."""
        for each in self._open:
            each.queue.put_nowait(text)

    def drop(self, *, mid_frame: bool = False) -> None:
        """Cut off all sockets, without a close frame."""
        for each in tuple(self._open):
            if each.transport is not None and mid_frame:
                each.transport.write(_HALF_A_FRAME)
                each.transport.close()
            elif each.transport is not None:
                each.transport.abort()
            self._open.discard(each)

    async def close(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close all sockets with a code."""
        for each in tuple(self._open):
            await each.socket.close(code=code)

    async def sent(self) -> None:
        """Wait until everything has been sent."""
        await asyncio.gather(*(each.queue.join() for each in self._open))

    async def serve(self, request: web.BaseRequest, token: str | None) -> web.StreamResponse:
        """Serve one websocket until it ends; raise `Refusal` if the API refuses it."""
        query = dict(request.query)
        kind, names = self._topic(request, token)
        stalled = self.stalled
        socket = web.WebSocketResponse(autoping=not stalled)
        await socket.prepare(request)
        opened = _Open(socket=socket, transport=request.transport, kind=kind, of=names, query=query)
        self._open.add(opened)
        sending = asyncio.create_task(self._send_all(opened))
        try:
            async with self._opened:
                self.count += 1
                self._opened.notify_all()
            self.when_opened(kind, names)
            async for _ in socket:
                pass  # what clients send has no meaning
        finally:
            sending.cancel()
            self._open.discard(opened)
        return socket

    async def _send_all(self, opened: _Open) -> None:
        while True:
            text = await opened.queue.get()
            if not self.stalled:
                await opened.socket.send_str(text)
            opened.queue.task_done()

    def _topic(self, request: web.BaseRequest, token: str | None) -> tuple[str, frozenset[str]]:
        """Return what a websocket is about, after the checks of a plain request to it."""
        path = request.raw_path.partition("?")[0]
        self._routes.role(token)
        check(dict(request.query))
        if path.endswith("/devices/"):
            site_id = parse("GET", path.rstrip("/")).site_id
            asked = request.query.getall("id.in", [])
            return "devices", frozenset(self.world.get(e, site_id=site_id).id for e in asked)
        found = re.fullmatch(r"(.*)/(logs|telemetry)", path)
        if found is None:
            raise no_endpoint()
        call = parse("GET", found[1])
        if call.device is not None:
            device = self.world.get(call.device, site_id=call.site_id)
            return found[2], frozenset((device.id,))
        if call.noun is Rules and "rule" in call.ids:
            rules = self._routes.noun(Rules)
            return "rules", frozenset((rules.rule_id(call),))
        raise no_endpoint()

    def _event(self, device_id: str, kind: str, values: Mapping[str, Any]) -> None:
        now = moment(self.world.now())
        frame = {
            "device_id": device_id,
            "received_at": told(now, self._timestamps),
            "timestamp": int(now.timestamp()),
            kind: dict(values),
        }
        self._send("devices", device_id, frame)

    def _send(
        self,
        kind: str,
        of: str,
        frame: Mapping[str, Any],
        is_wanted: Callable[[Mapping[str, str]], bool] = lambda _: True,
    ) -> None:
        for each in self._open:
            if each.kind == kind and of in each.of and is_wanted(each.query):
                each.queue.put_nowait(json.dumps(frame))

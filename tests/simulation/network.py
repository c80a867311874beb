"""The third implementation of the exchange protocol: a simulated network.

`SimulatedClient` is a real `Client` except for its engine's transport. Each exchange is recorded as
a `Send`; `Network.on_send` is called before each to check that it is allowed.
"""

import asyncio
import contextvars
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from multidict import CIMultiDict

from enapter_async._http.engine import Engine
from enapter_async._http.message import Failure, Message, Reply
from enapter_async._http.sweeper import SWEEP_SECONDS
from enapter_async._http.transport import (
    Timeouts,
    Transport,
    connect_failure,
    maybe,
    not_sent,
)
from enapter_async._http.wire import Wire
from enapter_async.client import Client
from enapter_async.errors import HostDownError, TLSError, TransportError
from tests.simulation.trace import Trace
from tests.simulation.weather import CALM, Course, Weather
from tests.simulation.world import Answer, Asked, World

BASE_URL: Final = "http://127.0.0.1:8080"
STRANGER: Final = "ffffffff-ffff-4fff-8fff-ffffffffffff"

CALLER: contextvars.ContextVar[Any] = contextvars.ContextVar("caller", default=None)
"""Identifies the call that this task works for, so that each request can be matched to its call."""

JSON_TYPE: Final = ("Content-Type", "application/json")


@attrs.define(eq=False, kw_only=True)
class Send:
    """One exchange: the request, how it went, and what the client received."""

    number: int
    asked: Asked
    caller: Any
    session: int
    at: float
    course: str
    arrived: bool = False
    ended: float | None = None
    told: str = ""
    """The transport's N or M, the status of the answer, or "cancelled"."""
    status: int | None = None
    retry_after: float | None = None
    believable: bool = False
    """Whether the answer is the API's own and complete."""
    as_of: float | None = None

    @property
    def too_much(self) -> bool:
        """Return whether the server refused it for too many requests."""
        return self.status == 429 or (
            self.status == 503 and self.retry_after is not None and self.believable
        )

    @property
    def unsure(self) -> bool:
        """Return whether it may have been done, as far as its sender can know."""
        if self.told == "N":
            return False
        if self.status is None:
            return True
        if self.status == 503:
            return not (self.retry_after is not None and self.believable)
        return self.status == 408 or not 300 <= self.status < 500


def seems_done(verb: str, sends: Sequence[Send]) -> bool:
    """Return whether a 404 may answer the second delivery of a write that removed its address.

    A deletion does that, and so does a new slug.
    """
    removed = [each for each in sends if each.status == 404]
    return any(verb.endswith("delete") or "slug" in dict(each.asked.fields) for each in removed)


class Network:
    """Everything between clients and the world, for the length of a seed's story."""

    def __init__(self, world: World, chance: random.Random, trace: Trace) -> None:
        self.world = world
        self.chance = chance
        self.trace = trace
        self.weather: Weather = CALM
        self.session = 0
        self.dead = False
        """Whether the sending process is dead, so that whatever its tasks still do has no
        effect."""
        self.sends: list[Send] = []
        self.under_way: list[Send] = []
        self.on_send: Callable[[Send], None] = lambda _: None

    async def reach(self) -> Failure | None:
        """Create an unused connection."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(0.002)
        down = self.weather.is_down(now)
        self.trace.tell(now, "network", "a knock: {}", "nobody answers" if down else "somebody")
        return _unsent("refused", 0.0) if down else None

    async def exchange(
        self, message: Message, *, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        loop = asyncio.get_running_loop()
        if self.dead:
            await asyncio.Event().wait()  # a killed process receives nothing more
        now = loop.time()
        self.world.settle(now)
        asked = self.world.understand(message.method, message.target, message.body)
        course = self.weather.course(self.chance, asked, now)
        send = Send(
            number=len(self.sends),
            asked=asked,
            caller=CALLER.get(),
            session=self.session,
            at=now,
            course=course.name,
        )
        self.trace.tell(now, "client", "sends {}: {} [{}]", send.number, asked, course.name)
        self.on_send(send)
        self.sends.append(send)
        self.under_way.append(send)
        outcome: Reply | Failure | None = None
        try:
            outcome = await self._carry(send, course, left, timeouts)
        finally:
            self.under_way.remove(send)
            if not self.dead:
                send.ended = loop.time()
                self._note(send, outcome)
        return outcome

    def _note(self, send: Send, outcome: Reply | Failure | None) -> None:
        if outcome is None:
            send.told = "cancelled"
        elif isinstance(outcome, Failure):
            send.told = outcome.certainty.name[0]
        else:
            send.told = str(outcome.status)
            send.status = outcome.status
        at = send.ended or 0.0
        how = f", Retry-After {send.retry_after:g}" if send.retry_after is not None else ""
        self.trace.tell(at, "network", "request {} ends: {}{}", send.number, send.told, how)

    async def _carry(
        self, send: Send, course: Course, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        loop = asyncio.get_running_loop()
        until = loop.time() + left
        most = min(timeouts.connect, left)
        if course.unsent:
            await asyncio.sleep(min(course.connect, most))
            return _unsent(course.unsent if course.connect < most else "timeout", most)
        limit = min(until, loop.time() + timeouts.read) + self.chance.uniform(0.0, SWEEP_SECONDS)
        arrives = loop.time() + course.trip
        answers: list[Answer] = []
        self.world.plan(arrives, lambda _: setattr(send, "arrived", True))
        if course.works is not None:
            for _ in range(2 if course.twice else 1):
                self.world.plan(
                    arrives + course.works,
                    lambda at: answers.append(
                        self.world.serve(at, send.number, send.asked, course.lag)
                    ),
                )
        heard = None if course.heard is None else loop.time() + course.heard
        in_time = heard is not None and heard < limit
        await asyncio.sleep((heard if in_time and heard is not None else limit) - loop.time())
        self.world.settle(loop.time())
        if not in_time:
            return maybe("no answer in time", "ReadTimeout", timed_out=True)
        if course.dies:
            return maybe("the answer was lost", "ServerDisconnectedError")
        return _reply(send, course, answers)


def _unsent(why: str, seconds: float) -> Failure:
    if why == "timeout":
        return connect_failure(TimeoutError(), seconds, "the host")
    if why == "dns":
        return not_sent(HostDownError("no such name"), "ClientConnectorDNSError", retries=2)
    if why == "tls":
        return not_sent(TLSError("no TLS"), "ClientConnectorSSLError", retries=2)
    if why == "disconnected":
        return not_sent(TransportError("the connection was lost before sending"), "Disconnected")
    return connect_failure(ConnectionRefusedError(111, "Connection refused"), seconds, "the host")


def _reply(send: Send, course: Course, answers: list[Answer]) -> Reply:
    said = course.said
    if said is not None:
        typed = JSON_TYPE if said.json is not None else ("Content-Type", "text/html")
        body = json.dumps(said.json).encode() if said.json is not None else said.text.encode()
        send.believable = said.json is not None
        send.retry_after = _asked_to_wait(said.headers) if said.status in (429, 503) else None
        return Reply(said.status, CIMultiDict((typed, *said.headers)), body)
    if course.other:
        stranger = json.dumps({"device": {"id": STRANGER, "name": "stranger"}}).encode()
        return Reply(200, CIMultiDict((JSON_TYPE,)), stranger)
    answer = answers[-1]
    send.as_of = answer.as_of
    body = json.dumps(answer.body).encode()
    if course.empty:
        send.believable = False
        return Reply(answer.status, CIMultiDict(), b"")
    if course.cut:
        return Reply(answer.status, CIMultiDict((JSON_TYPE,)), body[:9], "the body was lost")
    send.believable = True
    date = (("Date", answer.date),) if answer.date else ()
    return Reply(answer.status, CIMultiDict((JSON_TYPE, *date)), body)


def _asked_to_wait(headers: tuple[tuple[str, str], ...]) -> float | None:
    """Parse the simulation's own Retry-After values: seconds, or nine seconds after `Date`."""
    value = dict(headers).get("Retry-After", "")
    if value.isdigit():
        return float(value)
    return 9.0 if value.startswith("Tue") else None


class SimulatedTransport:
    """A client's end of the network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._closed = False

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and return its answer, within `left` seconds."""
        if self._closed:
            return not_sent(TransportError("the client is closed"), "Closed", retries=0)
        return await self._network.exchange(message, left=left, timeouts=timeouts)

    async def reach(self, seconds: float) -> Failure | None:
        """Create an unused connection."""
        return await self._network.reach()

    def take_headers(self) -> None:
        """Do nothing: it sends no headers."""

    def distrust(self) -> None:
        """Do nothing: it has no connections."""

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True


class _SimulatedEngine(Engine):
    def __init__(self, settings: Any, network: Network) -> None:
        super().__init__(settings)
        self._network = network

    def _make_transport(self, wire: Wire, tls: Any) -> Transport:
        return SimulatedTransport(self._network)


class SimulatedClient(Client):
    """A real client except for its transport."""

    def __init__(self, network: Network, **settings: Any) -> None:
        super().__init__("simulated-token", base_url=BASE_URL, **settings)
        self._engine = _SimulatedEngine(self._settings, network)

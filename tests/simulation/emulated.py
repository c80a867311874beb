"""The emulator as the world of a story: its effect log is the witness for all nouns.

Each request is carried out when it is due, on virtual time; each change leaves a copy of the whole
emulator, from which a lagging read is answered, and by which a report is judged afterwards.
"""

import copy
import json
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from enapter_async.emulator.request import Noun
from enapter_async.emulator.routes import Routes, parse
from enapter_async.emulator.sites import Sites
from enapter_async.emulator.world import World as Emulated
from enapter_async.operation import Operation
from tests.simulation.world import Answer, Asked, World

NounT = TypeVar("NounT", bound=Noun)

START: Final = 1_750_000_000.0
TOKEN: Final = "simulated-token"
_VERBS: Final = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "POST": "post"}
_NAMES: Final = ("slug", "hardware_id", "name")


@attrs.define
class Time:
    """The emulator's clock."""

    at: float = 0.0

    def __call__(self) -> float:
        return START + self.at


@attrs.frozen
class Done:
    """One entry of the emulator's log, its time, and the request that caused it."""

    at: float
    send: int
    operation: str
    id: str


@attrs.frozen
class Moment:
    """The emulator as it is from a time on."""

    since: float
    routes: Routes
    time: Time

    def noun(self, kind: type[NounT]) -> NounT:
        return self.routes.noun(kind)

    @property
    def world(self) -> Emulated:
        return self.routes.noun(Sites).world


class EmulatedWorld(World):
    """All objects of an emulator, and their history."""

    def __init__(self, devices: int, told: Callable[[float, str], None]) -> None:
        super().__init__((), told)
        time = Time()
        world = Emulated.seeded(devices, 1, role="OWNER", now=time)
        self.now_there = Moment(0.0, Routes(world, tokens={TOKEN: None}), time)
        self.done: list[Done] = []
        self.past: list[Moment] = []

    def begin(self) -> None:
        """Keep the state from which the story starts."""
        self._keep(float("-inf"))

    def understand(self, method: str, target: str, body: bytes | None) -> Asked:
        return asked_in(method, target, body)

    def serve(self, now: float, send: int, asked: Asked, lag: float = 0.0) -> Answer:
        """Carry out a request; a read shows the state `lag` seconds ago."""
        there = self.now_there if asked.writes else self.at(now - lag)
        there.time.at = now if asked.writes else now - lag
        method, target, body = (value for _, value in asked.fields)
        split = urlsplit(target)
        log = there.world.log
        before = len(log.effects())
        status, answer = there.routes.respond(
            parse(method, split.path),
            token=TOKEN,
            query=parse_qsl(split.query),
            body=body.encode(),
            content_type="application/json",
        )
        for each in log.effects()[before:]:
            self.done.append(Done(now, send, each.operation, each.device_id))
            self._told(now, f"done: {each.operation} {each.device_id} (request {send})")
        if len(log.effects()) > before:
            self._keep(now)
        as_of = None if asked.writes else now - lag
        return Answer(status, answer, as_of=as_of, date=formatdate(START + now, usegmt=True))

    def _keep(self, since: float) -> None:
        routes, time = copy.deepcopy((self.now_there.routes, self.now_there.time))
        self.past.append(Moment(since, routes, time))

    def at(self, moment: float) -> Moment:
        """Return the emulator as it was at a moment."""
        return [each for each in self.past if each.since <= moment][-1]

    def was(self, start: float, end: float, wanted: Callable[[Moment], bool]) -> bool:
        """Return whether it was as wanted at any moment from `start` to `end`."""
        first = self.at(start)
        return any(
            wanted(each) for each in self.past if each is first or start <= each.since <= end
        )


def asked_in(method: str, target: str, body: bytes | None) -> Asked:
    """Return a request with the object that it writes to; a read names its path."""
    segments = [unquote(each) for each in urlsplit(target).path.split("/") if each]
    parts = segments[segments.index("v3") + 1 :]
    path = target[target.index("/v3") :]
    fields: dict[str, Any] = json.loads(body) if body else {}
    text = json.dumps(fields, sort_keys=True) if body else ""
    address = "/".join(parts)
    if method != "GET":
        names = parts[2:] if parts[:1] == ["sites"] and parts[2:3] == ["devices"] else parts
        new = next((str(fields[name]) for name in _NAMES if fields.get(name)), "")
        address = names[1] if names[:1] == ["devices"] else address
        if method == "POST" and new and names[:1] != ["devices"]:
            address = f"{address} {new}"
    return Asked(_VERBS[method], address, (("method", method), ("target", path), ("body", text)))


def asked_by(operation: Operation[Any]) -> Asked:
    """Return the request of an operation."""
    parts = operation.request()
    body = None if parts.body is None else json.dumps(parts.body).encode()
    return asked_in(parts.method, "/v3/" + "/".join(parts.path), body)

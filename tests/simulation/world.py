"""The devices and their whole history: the witness of a simulation.

It imports nothing of the package, parses requests as a server does, and forgets nothing. Future
events (a request on its way, a late effect) are on its agenda and take place when they are due;
every query first sets the current time.
"""

import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import attrs


@attrs.frozen
class Asked:
    """The meaning of a request: a verb, the device it names, and the fields it sets."""

    verb: str
    address: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def writes(self) -> bool:
        return self.verb not in ("get", "list")

    @property
    def once(self) -> bool:
        return self.verb == "generate_config"

    def __str__(self) -> str:
        told = " ".join(f"{name}={value}" for name, value in self.fields)
        return f"{self.verb} {short(self.address)}{' ' if told else ''}{told}"


def short(address: str) -> str:
    """Return the part of an id that people can distinguish: the end of a UUID."""
    return f"…{address[-4:]}" if len(address) == 36 else address


def understand(method: str, target: str, body: bytes | None) -> Asked:
    """Parse a request as the API would."""
    split = urlsplit(target)
    segments = [unquote(each) for each in split.path.split("/") if each]
    segments = segments[segments.index("v3") + 1 :]
    fields = json.loads(body) if body else {}
    told = tuple(sorted((name, str(value)) for name, value in fields.items()))
    match method, segments:
        case ("GET", ["devices"]):
            asked = parse_qs(split.query)
            paging = tuple((name, asked[name][0]) for name in ("limit", "offset") if name in asked)
            return Asked("list", "", paging)
        case ("GET", ["devices", address]):
            return Asked("get", address)
        case ("PATCH", ["devices", address]):
            return Asked("update", address, told)
        case ("DELETE", ["devices", address]):
            return Asked("delete", address)
        case ("POST", ["devices", address, verb]):
            return Asked(verb, address, told)
    raise AssertionError(f"no server knows {method} {target}")


@attrs.frozen
class Shape:
    """The state of a device at some moment."""

    id: str
    name: str
    slug: str
    blueprint_id: str
    site_id: str

    def json(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen
class Effect:
    """One effect, its time, and its request; `secret` is the generated secret."""

    at: float
    send: int
    asked: Asked
    device_id: str
    secret: str = ""


@attrs.frozen
class Answer:
    """The API's answer; `as_of` is the moment that a read shows, `date` its header."""

    status: int
    body: Mapping[str, Any] | None
    as_of: float | None = None
    date: str = ""


def refusal(status: int, code: str) -> Answer:
    return Answer(status, {"errors": [{"code": code, "message": f"no: {code}"}]})


class World:
    """All devices, and the log of changes to them. `told` is called with each event."""

    def __init__(self, shapes: Iterable[Shape], told: Callable[[float, str], None]) -> None:
        self.devices = {shape.id: shape for shape in shapes}
        self.history: dict[str, list[tuple[float, Shape | None]]] = {
            shape.id: [(float("-inf"), shape)] for shape in self.devices.values()
        }
        self.effects: list[Effect] = []
        self.now = 0.0
        self._told = told
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()

    def understand(self, method: str, target: str, body: bytes | None) -> Asked:
        """Parse a request as the API would."""
        return understand(method, target, body)

    # Time.

    def plan(self, at: float, what: Callable[[float], None]) -> None:
        """Schedule an event for a future moment."""
        heapq.heappush(self._agenda, (max(at, self.now), next(self._numbers), what))

    def settle(self, now: float) -> None:
        """Let every event that is due by now take place."""
        while self._agenda and self._agenda[0][0] <= now:
            at, _, what = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            what(self.now)
        self.now = max(self.now, now)

    def settle_all(self) -> None:
        """Let every scheduled event take place."""
        while self._agenda:
            self.settle(self._agenda[0][0])

    # The history of each device.

    def as_of(self, device_id: str, at: float) -> Shape | None:
        """Return the state of a device at a moment."""
        found: Shape | None = None
        for since, shape in self.history.get(device_id, ()):
            if since <= at:
                found = shape
        return found

    def ever(
        self, device_id: str, start: float, end: float, wanted: Callable[[Shape | None], bool]
    ) -> bool:
        """Return whether a device was as wanted at any moment from `start` to `end`."""
        line = self.history.get(device_id, [(float("-inf"), None)])
        return any(
            wanted(shape)
            for number, (since, shape) in enumerate(line)
            if since <= end and (number + 1 == len(line) or line[number + 1][0] >= start)
        )

    def nameless(self, address: str, start: float, end: float) -> bool:
        """Return whether at any moment from `start` to `end` no device had an address."""
        changes = [at for line in self.history.values() for at, _ in line if start < at <= end]
        for moment in (start, *changes):
            device_id = self.find(address, moment)
            if device_id is None or self.as_of(device_id, moment) is None:
                return True
        return False

    def known_as(self, address: str) -> list[str]:
        """Return the ids of all devices that ever had an address."""
        return [
            device_id
            for device_id, line in self.history.items()
            if device_id == address or any(shape and shape.slug == address for _, shape in line)
        ]

    # What is done.

    def meddle(self, now: float, device_id: str, **fields: str) -> None:
        """Let another user change a device, or delete it if no field is named."""
        shape = self.devices.get(device_id)
        if shape is not None:
            self._told(now, f"somebody else changes {short(device_id)}: {fields or 'deleted'}")
            self._put(now, device_id, attrs.evolve(shape, **fields) if fields else None)

    def serve(self, now: float, send: int, asked: Asked, lag: float = 0.0) -> Answer:
        """Carry out a request and return the answer; a read shows the state `lag` seconds ago."""
        if asked.verb == "list":
            return self._page(asked, now - lag)
        device_id = self.find(asked.address, now - lag)
        shape = None if device_id is None else self.as_of(device_id, now - lag)
        if device_id is None or shape is None:
            return attrs.evolve(refusal(404, "not_found"), as_of=now - lag)
        if asked.verb == "get":
            return Answer(200, {"device": shape.json()}, as_of=now - lag)
        fields = dict(asked.fields)
        holder = self.find(fields["slug"], now) if "slug" in fields else None
        if holder not in (None, device_id):
            return refusal(409, "slug_taken")
        secret = f"minted-{len(self.effects)}" if asked.once else ""
        if not asked.once:
            changed = None if asked.verb == "delete" else attrs.evolve(shape, **fields)
            self._put(now, device_id, changed)
        self.effects.append(Effect(now, send, asked, device_id, secret))
        self._told(now, f"done: {asked} (request {send})")
        return Answer(200, self._shown(asked, device_id, secret))

    def _shown(self, asked: Asked, device_id: str, secret: str) -> dict[str, Any]:
        if secret:
            return {"config": _config(secret, dict(asked.fields)["protocol"])}
        if asked.verb == "delete":
            return {}
        return {"device": self.devices[device_id].json()}

    def find(self, address: str, at: float) -> str | None:
        """Return the id of the device that has an address at a moment, or that ever had it."""
        if address in self.history:
            return address
        for device_id in self.history:
            shape = self.as_of(device_id, at)
            if shape is not None and shape.slug == address:
                return device_id
        return None

    def _put(self, now: float, device_id: str, shape: Shape | None) -> None:
        self.history[device_id].append((now, shape))
        if shape is None:
            del self.devices[device_id]
        else:
            self.devices[device_id] = shape

    def _page(self, asked: Asked, at: float) -> Answer:
        paging = dict(asked.fields)
        offset, limit = int(paging.get("offset", "0")), int(paging.get("limit", "50"))
        there = [shape for each in sorted(self.history) if (shape := self.as_of(each, at))]
        page = [shape.json() for shape in there[offset : offset + limit]]
        return Answer(200, {"devices": page, "total_count": len(there)}, as_of=at)


def _config(secret: str, protocol: str) -> dict[str, Any]:
    if protocol == "MQTTS":
        credentials = {"private_key": secret, "certificate": "certificate"}
    else:
        credentials = {"username": "user", "password": secret}
    return {
        "mqtt_host": "mqtt.example.test",
        "mqtt_port": 8883,
        "mqtt_protocol": protocol,
        "mqtt_credentials": credentials,
    }


def wanted_by(asked: Asked) -> Callable[[Shape | None], bool]:
    """Return a predicate: is a device as a write wants it?"""
    if asked.verb == "delete":
        return lambda shape: shape is None
    if asked.once:
        return lambda _: False
    fields = dict(asked.fields)
    return lambda shape: (
        shape is not None and all(getattr(shape, name) == fields[name] for name in fields)
    )

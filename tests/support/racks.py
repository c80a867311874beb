"""A noun that the package does not know: racks, their operations, and a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, ClassVar, Final

import attrs
from aiohttp import web

from enapter_async import Answer, Operation, Repeat, RequestParts, Settles, Target


@attrs.frozen(kw_only=True)
class Rack:
    id: str
    name: str | None = None
    built: datetime | None = None


@attrs.frozen(kw_only=True)
class FindRacks(Operation[tuple[Rack, ...]]):
    kind: ClassVar[str] = "rack.find"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[tuple[Rack, ...]]] = Answer(key="racks", type=tuple[Rack, ...])

    name: str

    def request(self) -> RequestParts:
        return RequestParts("GET", ("racks",), query=(("name", self.name),))


PROOF: Final = FindRacks(name="")


@attrs.frozen(kw_only=True)
class GetRack(Operation[Rack]):
    kind: ClassVar[str] = "rack.get"
    proof: ClassVar[FindRacks] = PROOF
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Rack]] = Answer(key="rack", type=Rack)

    rack_id: str

    def request(self) -> RequestParts:
        return RequestParts("GET", ("racks", self.rack_id))

    def target(self) -> Target:
        return Target("rack", self.rack_id)


@attrs.frozen(kw_only=True)
class RenameRack(Operation[Rack]):
    """An operation that declares everything, and so gets every feature."""

    kind: ClassVar[str] = "rack.rename"
    proof: ClassVar[FindRacks] = PROOF
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Rack]] = Answer(key="rack", type=Rack)

    rack_id: str
    name: str

    def request(self) -> RequestParts:
        return RequestParts("PATCH", ("racks", self.rack_id), body={"name": self.name})

    def target(self) -> Target:
        return Target("rack", self.rack_id)

    def changes(self) -> dict[str, str]:
        return {"name": self.name}

    def accepts(self, result: Rack) -> bool:
        return result.id == self.rack_id

    def reads(self) -> GetRack:
        return GetRack(rack_id=self.rack_id)

    def undo(self, before: Rack) -> "RenameRack | None":
        return None if before.name is None else RenameRack(rack_id=before.id, name=before.name)


@attrs.frozen(kw_only=True)
class CreateRack(Operation[Rack]):
    """Create a rack whose id the caller chooses; an unknown outcome is settled by that id."""

    kind: ClassVar[str] = "rack.create"
    proof: ClassVar[FindRacks] = PROOF
    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[Rack]] = Answer(key="rack", type=Rack)
    settles: ClassVar[Settles] = Settles.KEY

    rack_id: str
    name: str

    def request(self) -> RequestParts:
        return RequestParts("POST", ("racks",), body={"id": self.rack_id, "name": self.name})

    def target(self) -> Target:
        return Target("rack", natural_key=self.rack_id)

    def reads(self) -> GetRack:
        return GetRack(rack_id=self.rack_id)

    def holds(self, state: Rack | None) -> bool:
        return state is not None and state.name == self.name


@attrs.frozen(kw_only=True)
class AddRack(Operation[Rack]):
    """Create a rack whose id the server chooses, so that a person must look for it."""

    kind: ClassVar[str] = "rack.add"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[Rack]] = Answer(key="rack", type=Rack)
    settles: ClassVar[Settles] = Settles.SEARCH

    name: str

    def request(self) -> RequestParts:
        return RequestParts("POST", ("racks",), body={"name": self.name})

    def reads(self) -> FindRacks:
        return FindRacks(name=self.name)

    def created(self, candidate: Rack) -> datetime | None:
        return candidate.built


@attrs.frozen(kw_only=True)
class TestRack(Operation[dict[str, Any]]):
    """Make a rack test itself: a successful answer may report a fault."""

    __test__: ClassVar[bool] = False

    kind: ClassVar[str] = "rack.test"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[dict[str, Any]]] = Answer(key="test", type=dict[str, Any], wait=30.0)

    rack_id: str

    def request(self) -> RequestParts:
        return RequestParts("POST", ("racks", self.rack_id, "test"))

    def target(self) -> Target:
        return Target("rack", self.rack_id)

    def fault(self, result: dict[str, Any]) -> str:
        return "" if result["state"] == "OK" else f"the test ended in {result['state']}"

    def leaves_unknown(self, result: dict[str, Any]) -> bool:
        return bool(result["state"] == "TIMEOUT")


class RackServer:
    """Racks by id, and the log of changes. The next `lose` answers are lost after the effect."""

    def __init__(self, racks: dict[str, str]) -> None:
        self.racks = racks
        self.lose = 0
        self.effects: list[tuple[str, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.base_url = ""
        self.height = 0
        self.test = "ERROR"
        self.seconds = 0.0
        """How long a test takes."""
        self.built: dict[str, float] = {}
        """When each rack was built, in seconds since 1970, if that is told."""

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        rack_id = request.match_info.get("id", "")
        if request.method != "POST" and rack_id and rack_id not in self.racks:
            return web.json_response({"errors": [{"code": "not_found"}]}, status=404)
        if request.method == "GET":
            wanted = request.query.get("name")
            found = [self._shown(each) for each, name in self.racks.items() if name == wanted]
            return web.json_response(
                {"rack": self._shown(rack_id)} if rack_id else {"racks": found}
            )
        body = await request.json() if request.can_read_body else {}
        if request.path.endswith("/test"):
            await asyncio.sleep(self.seconds)
            return web.json_response({"test": {"state": self.test}})
        rack_id = rack_id or body.get("id") or f"rack-{len(self.racks)}"
        self.racks[rack_id] = body["name"].strip()
        self.effects.append((rack_id, body["name"]))
        if self.lose:
            self.lose -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"rack": self._shown(rack_id)})

    def _shown(self, rack_id: str) -> dict[str, Any]:
        shown = {"id": rack_id, "name": self.racks.get(rack_id), "height": self.height}
        return shown | ({"built": self.built[rack_id]} if rack_id in self.built else {})


@asynccontextmanager
async def serving(**racks: str) -> AsyncIterator[RackServer]:
    """Serve racks with the given names on a free port; new names are trimmed."""
    server = RackServer(racks)
    app = web.Application()
    app.router.add_route("*", "/v3/racks", server._serve)
    app.router.add_route("*", "/v3/racks/{id}", server._serve)
    app.router.add_route("*", "/v3/racks/{id}/test", server._serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()

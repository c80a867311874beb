"""A noun that the package does not know: racks, their operations, and a server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import formatdate
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


@attrs.frozen(kw_only=True)
class RackRun:
    """A test of a rack that takes time."""

    id: str
    state: str = "RUNNING"
    begun: datetime | None = None


@attrs.frozen(kw_only=True)
class GetRun(Operation[RackRun]):
    kind: ClassVar[str] = "rack.get_run"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[RackRun]] = Answer(key="run", type=RackRun)

    rack_id: str
    run_id: str

    def request(self) -> RequestParts:
        return RequestParts("GET", ("racks", self.rack_id, "runs", self.run_id))


@attrs.frozen(kw_only=True)
class FindRuns(Operation[tuple[RackRun, ...]]):
    kind: ClassVar[str] = "rack.find_runs"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[tuple[RackRun, ...]]] = Answer(
        key="runs", type=tuple[RackRun, ...], default=()
    )

    rack_id: str

    def request(self) -> RequestParts:
        return RequestParts("GET", ("racks", self.rack_id, "runs"))


@attrs.frozen(kw_only=True)
class StartRun(Operation[Any]):
    """Start a test of a rack: the answer is its id, and a later read shows the result."""

    kind: ClassVar[str] = "rack.start_run"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    settles: ClassVar[Settles] = Settles.SEARCH
    answer: ClassVar[Answer[Any]] = Answer(key="run_id", type=str)
    proof: ClassVar[FindRacks] = PROOF

    rack_id: str
    alone: bool = False

    def request(self) -> RequestParts:
        return RequestParts("POST", ("racks", self.rack_id, "runs"))

    def target(self) -> Target:
        return Target("rack", self.rack_id)

    def follow(self, result: Any) -> GetRun | None:
        if isinstance(result, RackRun):
            if result.state != "RUNNING":
                return None
            result = result.id
        return GetRun(rack_id=self.rack_id, run_id=result)

    def fault(self, result: Any) -> str:
        state = getattr(result, "state", "OK")
        return "" if state in ("OK", "RUNNING") else f"the run ended in {state}"

    def leaves_unknown(self, result: Any) -> bool:
        return getattr(result, "state", "") == "TIMEOUT"

    def reads(self) -> FindRuns:
        return FindRuns(rack_id=self.rack_id)

    def created(self, candidate: RackRun) -> datetime | None:
        return candidate.begun

    def not_in_jobs(self) -> str:
        return "it runs alone" if self.alone else ""


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
        self.now = time.time
        self.runs: dict[str, tuple[str, float]] = {}
        """The rack of each run, and when it began."""
        self.reads = 0
        self.after: Callable[[str, int], str] = lambda _rack, _reads: "OK"
        """Returns the state of a test of a rack, by the number of reads so far."""
        self.built: dict[str, float] = {}
        """When each rack was built, in seconds since 1970, if the server sends that."""

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

    async def _serve_runs(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        rack_id, run_id = request.match_info["id"], request.match_info.get("run")
        date = {"Date": formatdate(self.now(), usegmt=True)}
        if request.method == "POST":
            run_id = f"run-{len(self.runs)}"
            self.runs[run_id] = (rack_id, self.now())
            if self.lose:
                self.lose -= 1
                assert request.transport is not None
                request.transport.close()
            return web.json_response({"run_id": run_id}, headers=date)
        if run_id is None:
            listed = [self._run(each) for each, (rack, _) in self.runs.items() if rack == rack_id]
            return web.json_response({"runs": listed}, headers=date)
        self.reads += 1
        if run_id not in self.runs:
            return web.json_response({"errors": [{"code": "not_found"}]}, status=404)
        run = self._run(run_id)
        if run["state"].isdigit():
            return web.json_response({"errors": [{"code": "told"}]}, status=int(run["state"]))
        return web.json_response({"run": run}, headers=date)

    def _run(self, run_id: str) -> dict[str, Any]:
        rack_id, begun = self.runs[run_id]
        return {"id": run_id, "state": self.after(rack_id, self.reads), "begun": begun}


@asynccontextmanager
async def serving(**racks: str) -> AsyncIterator[RackServer]:
    """Serve racks with the given names on a free port; new names are trimmed."""
    server = RackServer(racks)
    app = web.Application()
    app.router.add_route("*", "/v3/racks", server._serve)
    app.router.add_route("*", "/v3/racks/{id}", server._serve)
    app.router.add_route("*", "/v3/racks/{id}/test", server._serve)
    app.router.add_route("*", "/v3/racks/{id}/runs", server._serve_runs)
    app.router.add_route("*", "/v3/racks/{id}/runs/{run}", server._serve_runs)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()

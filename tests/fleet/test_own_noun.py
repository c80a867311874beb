"""A noun with pages, slugs and parents that no line of `fleet` mentions."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar

import attrs
import pytest
from aiohttp import web

from enapter_async import UNSET, Answer, Operation, Repeat, RequestParts, Target, Unset, fleet
from enapter_async.client import Client
from enapter_async.fleet import Verdict
from enapter_async.operations.nouns import BulkChange, Facts, Noun, define


@attrs.frozen(kw_only=True)
class Shelf:
    id: str
    name: str | None = None
    slug: str | None = None
    above: str | None = None
    lit: bool = True


@attrs.frozen(kw_only=True)
class GetShelf(Operation[Shelf]):
    kind: ClassVar[str] = "shelf.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Shelf]] = Answer(key="shelf", type=Shelf)

    shelf_id: str

    def request(self) -> RequestParts:
        return RequestParts("GET", ("shelves", self.shelf_id))


@attrs.frozen(kw_only=True)
class ListShelves(Operation[tuple[Shelf, ...]]):
    kind: ClassVar[str] = "shelf.list"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[tuple[Shelf, ...]]] = Answer(key="shelves", type=tuple[Shelf, ...])

    offset: int
    limit: int

    def request(self) -> RequestParts:
        query = (("offset", str(self.offset)), ("limit", str(self.limit)))
        return RequestParts("GET", ("shelves",), query=query)


class OnShelf(Operation[Any]):
    """Common parts of operations on one shelf."""

    __slots__ = ()

    proof: ClassVar[Operation[Any] | None] = ListShelves(offset=0, limit=1)
    shelf_id: str

    def target(self) -> Target:
        return Target("shelf", self.shelf_id)

    def reads(self) -> GetShelf:
        return GetShelf(shelf_id=self.shelf_id)


@attrs.frozen(kw_only=True)
class UpdateShelf(OnShelf):
    kind: ClassVar[str] = "shelf.update"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Shelf]] = Answer(key="shelf", type=Shelf)

    shelf_id: str
    name: str | Unset = UNSET
    slug: str | Unset = UNSET

    def request(self) -> RequestParts:
        return RequestParts("PATCH", ("shelves", self.shelf_id), body=self.changes())

    def changes(self) -> dict[str, Any]:
        told = {"name": self.name, "slug": self.slug}
        return {field: value for field, value in told.items() if value is not UNSET}


@attrs.frozen(kw_only=True)
class DeleteShelf(OnShelf):
    kind: ClassVar[str] = "shelf.delete"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Shelf]] = Answer(key="shelf", type=Shelf, confirms=True)

    shelf_id: str

    def request(self) -> RequestParts:
        return RequestParts("DELETE", ("shelves", self.shelf_id))

    def holds(self, state: Shelf | None) -> bool:
        return state is None

    def guards(self) -> tuple[str, ...]:
        return ("name", "slug")

    def obstacle(self, state: Shelf) -> str:
        return "" if state.lit else "it is dark"

    def result_of(self, state: Shelf | None) -> None:
        return None


class _ShelfNoun(Noun[Shelf]):
    name: ClassVar[str] = "shelf"
    state: ClassVar[Any] = Shelf
    slug_field: ClassVar[str] = "slug"
    page_size: ClassVar[int] = 3
    health: ClassVar[tuple[str, ...]] = ("lit",)

    def get(self, name: str, expand: Iterable[str] = ()) -> GetShelf:
        return GetShelf(shelf_id=name)

    def page(
        self, offset: int, limit: int, *, site_id: str | None, expand: Iterable[str]
    ) -> ListShelves:
        return ListShelves(offset=offset, limit=limit)

    def facts(self, state: Shelf) -> Facts:
        return Facts(state.id, state.name, state.slug, "hall", state.above)

    def is_online(self, state: Shelf) -> bool:
        return state.lit


define(_ShelfNoun())


@attrs.frozen(kw_only=True)
class DarkShelves(BulkChange):
    """Name each dark shelf after its state."""

    noun: ClassVar[str] = "shelf"

    def operations_for(self, state: Shelf) -> tuple[Operation[Any], ...] | None:
        return None if state.lit else (UpdateShelf(shelf_id=state.id, name="dark"),)


class Hall:
    """Shelves by id, and the requests received."""

    def __init__(self) -> None:
        self.shelves: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.base_url = ""

    def add(self, *ids: str, **fields: Any) -> None:
        for each in ids:
            told = {"id": each, "name": f"Name {each}", "slug": f"slug-{each}", "lit": True}
            self.shelves[each] = told | fields

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        address = request.match_info.get("id")
        if address is None:
            begin, size = int(request.query["offset"]), int(request.query["limit"])
            page = list(self.shelves.values())[begin : begin + size]
            return web.json_response({"shelves": page})
        found = next((s for s in self.shelves.values() if address in (s["id"], s["slug"])), None)
        if found is None:
            return web.json_response({"errors": [{"code": "not_found"}]}, status=404)
        if request.method == "DELETE":
            del self.shelves[found["id"]]
            return web.json_response({})
        if request.method == "PATCH":
            found |= await request.json()
        return web.json_response({"shelf": found})


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall()
    app = web.Application()
    app.router.add_route("*", "/v3/shelves", hall.serve)
    app.router.add_route("*", "/v3/shelves/{id}", hall.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hall.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield hall
    finally:
        await runner.cleanup()


@pytest.fixture
async def client(hall: Hall) -> AsyncIterator[Client]:
    async with Client("token", base_url=hall.base_url) as opened:
        yield opened


async def test_a_plan_reads_pages_finds_slugs_and_orders_their_changes(
    hall: Hall, client: Client
) -> None:
    hall.add(*(f"s{number}" for number in range(8)))
    asked = [
        UpdateShelf(shelf_id="s1", slug="slug-s0"),
        UpdateShelf(shelf_id="slug-s0", slug="new"),
        UpdateShelf(shelf_id="s2", slug="slug-s7"),
        UpdateShelf(shelf_id="s9", name="x"),
    ]
    with await fleet.plan(client, asked) as plan:
        told = [(item.line, item.verdict, item.device, item.why) for item in plan.items()]
        assert (await fleet.apply(client, plan)).ok
    assert told == [
        (2, Verdict.CHANGE, "s0", ""),
        (1, Verdict.CHANGE, "s1", ""),
        (3, Verdict.REFUSED, "s2", "slug 'slug-s7' is already used by s7 ('Name s7')"),
        (4, Verdict.REFUSED, "s9", "there is no such shelf, or this token may not see it"),
    ]
    assert {each: hall.shelves[each]["slug"] for each in ("s0", "s1")} == {
        "s0": "new",
        "s1": "slug-s0",
    }


async def test_children_are_deleted_first_or_keep_their_parent(hall: Hall, client: Client) -> None:
    hall.add("top", "shaft")
    hall.add("a", "b", above="top")
    hall.add("c", above="shaft", lit=False)
    asked = [DeleteShelf(shelf_id=each) for each in ("top", "a", "b", "shaft", "c", "gone")]
    with await fleet.plan(client, asked) as plan:
        told = {item.device: (item.verdict, item.why) for item in plan.items()}
        order = [item.operation.target().id for item in plan if not item.unchanged]
        assert plan.deletions == 3
        assert (await fleet.apply(client, plan)).ok
    assert order == ["a", "b", "top"]
    assert told["c"] == (Verdict.REFUSED, "it is dark")
    assert told["shaft"] == (Verdict.REFUSED, "a shelf depends on it and stays, such as c")
    assert told["gone"] == (Verdict.ABSENT, "the shelf is already gone")
    assert hall.shelves.keys() == {"shaft", "c"}


async def test_the_guard_reads_a_wave_by_pages_and_the_gate_looks_at_the_health(
    hall: Hall, client: Client
) -> None:
    hall.add(*(f"s{number}" for number in range(9)))
    renames = [UpdateShelf(shelf_id=f"s{number}", name="new") for number in range(9)]
    with await fleet.plan(client, renames) as plan:
        hall.requests.clear()
        hall.shelves["s8"]["name"] = "somebody else's"
        async with fleet.StateGuard(client, fleet.GuardMode.WAVE) as guard:
            report = await fleet.apply(client, plan, guard=guard, abort=None)
    assert report.counts[fleet.State.HELD] == 1
    reads = [each for each in hall.requests if each.startswith("GET")]
    assert set(reads) == {"GET /v3/shelves"}, "by pages, and none individually"

    rollout = fleet.Rollout(waves=(1, "rest"), health=fleet.HealthGate(sample=1, most_lost=0))
    hall.shelves["s0"]["lit"] = True
    again = [UpdateShelf(shelf_id=f"s{number}", name="newer") for number in range(3)]

    def dim(event: fleet.RunEvent) -> None:
        if isinstance(event, fleet.WaveBegan):
            hall.shelves["s0"]["lit"] = False

    report = await fleet.apply(client, again, rollout=rollout, on_event=dim)
    assert isinstance(report.stopped, fleet.WaveNotPassedError)
    assert "online before it are no longer online" in str(report.stopped)


async def test_a_change_of_many_is_planned_for_what_it_selects(hall: Hall, client: Client) -> None:
    hall.add("s0", "s1")
    hall.add("s2", "s3", lit=False)
    with await fleet.plan(client, DarkShelves()) as plan:
        assert [item.operation for item in plan] == [
            UpdateShelf(shelf_id="s2", name="dark"),
            UpdateShelf(shelf_id="s3", name="dark"),
        ]

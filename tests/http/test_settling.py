"""How an unknown outcome is settled, as the operation declares: by a key, a search, or never."""

import time

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.errors import AmbiguousOutcomeError, ResultDiffersError
from tests.support.racks import AddRack, CreateRack, Rack, RackServer, TestRack, serving

ONCE = RetryPolicy(attempts=3, base_delay=0.01)


def client_of(server: RackServer) -> Client:
    return Client("token", base_url=server.base_url, retry=ONCE)


async def test_a_create_whose_answer_is_lost_is_found_by_its_key() -> None:
    async with serving() as server, client_of(server) as client:
        server.lose = 1
        assert await client.execute(CreateRack(rack_id="r1", name="North")) == Rack(
            id="r1", name="North"
        )
        assert server.effects == [("r1", "North")], "once only"


async def test_an_older_object_with_the_key_settles_nothing() -> None:
    async with serving(r1="North") as server, client_of(server) as client:
        server.lose = 1
        with pytest.raises(AmbiguousOutcomeError, match="unknown whether an object with its key"):
            await client.execute(CreateRack(rack_id="r1", name="North"))
        assert len(server.effects) == 1


async def test_another_object_with_the_key_settles_nothing() -> None:
    async with serving() as server, client_of(server) as client:
        server.lose = 1
        with pytest.raises(AmbiguousOutcomeError, match="does not show the change"):
            await client.execute(CreateRack(rack_id="r1", name=" trimmed "))


async def test_a_search_lists_candidates_and_chooses_none() -> None:
    async with serving(r1="North", r2="South") as server, client_of(server) as client:
        server.lose = 1
        with pytest.raises(AmbiguousOutcomeError, match="a search found 2") as caught:
            await client.execute(AddRack(name="North"))
        assert [each.id for each in caught.value.candidates] == ["r1", "rack-2"]
        assert caught.value.subject is None
        assert len(server.effects) == 1
        report = await fleet.apply(client, [AddRack(name="a"), AddRack(name="a")], abort=None)
        assert report.ok, "two new objects are two candidates"


async def test_objects_older_than_the_first_attempt_are_not_candidates() -> None:
    """Only the server's clock counts: the two clocks may differ by hours."""
    async with serving(old="North", new="North") as server:
        hours_off = Clock(wall=lambda: time.time() + 7200)
        server.built = {"old": time.time() - 60, "new": time.time() + 1}
        server.lose = 1
        client = Client("token", base_url=server.base_url, retry=ONCE, clock=hours_off)
        async with client:
            with pytest.raises(AmbiguousOutcomeError, match="a search found 2") as caught:
                await client.execute(AddRack(name="North"))
        found = [each.id for each in caught.value.candidates]
        assert found == ["new", "rack-2"], "a candidate without a time counts, too"


async def test_a_fault_that_leaves_it_open_is_unknown_and_is_not_sent_again() -> None:
    async with serving(r1="North") as server, client_of(server) as client:
        server.test = "TIMEOUT"
        with pytest.raises(AmbiguousOutcomeError, match="the test ended in TIMEOUT") as caught:
            await client.execute(TestRack(rack_id="r1"))
        assert (caught.value.noun, caught.value.subject) == ("rack", "r1")
        report = await fleet.apply(client, [TestRack(rack_id="r1")], abort=None)
        assert report.counts[fleet.State.UNKNOWN] == 1
        assert server.requests == [("POST", "/v3/racks/r1/test")] * 2


async def test_an_operation_may_allow_a_longer_wait_for_its_answer() -> None:
    brisk = Timeouts(read=0.05)
    async with serving(r1="North") as server:
        server.test, server.seconds = "OK", 0.2
        client = Client("token", base_url=server.base_url, retry=ONCE, timeouts=brisk)
        async with client:
            assert await client.execute(TestRack(rack_id="r1")) == {"state": "OK"}


async def test_a_good_answer_that_reports_a_fault_differs() -> None:
    async with serving(r1="North") as server, client_of(server) as client:
        with pytest.raises(ResultDiffersError, match="the test ended in ERROR") as caught:
            await client.execute(TestRack(rack_id="r1"))
        assert caught.value.result == {"state": "ERROR"}
        assert server.requests == [("POST", "/v3/racks/r1/test")]
        report = await fleet.apply(client, [TestRack(rack_id="r1")], abort=None)
        assert report.counts[fleet.State.DIFFERS] == 1

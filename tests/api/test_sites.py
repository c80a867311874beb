"""`client.sites` against the emulator: a site from its creation to its deletion."""

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.emulator.sites import Sites
from enapter_async.errors import ConflictError, NotFoundError
from enapter_async.models.sites import SiteLocation
from enapter_async.operations.sites import UpdateSite
from tests.emulator.fleets import BARN, HARBOUR


async def test_a_site_lives_from_its_creation_to_its_deletion(
    emulator: Emulator, client: Client
) -> None:
    place = SiteLocation(name="Cape", latitude=56.9, longitude=24.1)
    made = await client.sites.create(name="North", timezone="Europe/Riga", location=place)
    assert (made.name, made.timezone, made.location) == ("North", "Europe/Riga", place)
    listed = [each async for each in client.sites.list()]
    assert {each.id for each in listed} == {BARN, HARBOUR, made.id}
    assert [each.id async for each in client.sites.list(name="nor")] == [made.id]
    changed = await client.sites.update(made.id, name="South", location={"name": "Bay"})
    assert (changed.name, changed.timezone) == ("South", "Europe/Riga")
    assert await client.sites.get(made.id) == changed
    await client.sites.delete(made.id)
    with pytest.raises(NotFoundError):
        await client.sites.get(made.id)
    with pytest.raises(ConflictError):
        await client.sites.delete(BARN)  # devices stand there
    done = [each.operation for each in emulator.world.log.effects()]
    assert done == ["site.create", "site.update", "site.delete"]


async def test_a_gateway_reads_and_changes_its_own_site_without_an_id(
    emulator: Emulator, client: Client
) -> None:
    with pytest.raises(NotFoundError):
        await client.sites.get()  # as in the cloud
    emulator.noun(Sites).gateway_site = BARN
    assert (await client.sites.update(timezone="Europe/Rome")).id == BARN
    assert (await client.sites.get()).timezone == "Europe/Rome"
    assert emulator.world.log.arrivals()[-2].path == "/v3/site"
    assert "whichever gateway" in UpdateSite(name="x").not_in_jobs()
    assert not UpdateSite(site_id=BARN, name="x").not_in_jobs()

"""Every operation except those on devices, with the API page's statements on repeating it."""

from collections.abc import Callable
from typing import Any

import attrs

from enapter_async.emulator import Emulator
from enapter_async.operation import Operation
from enapter_async.operations.configuration import (
    GetConfiguration,
    ResetConfiguration,
    UpdateConfiguration,
)
from enapter_async.operations.devices import GetManifest
from enapter_async.operations.sites import CreateSite, DeleteSite, GetSite, ListSites, UpdateSite


@attrs.frozen
class Tried:
    """One operation: its preparation, and its correct behaviour.

    `effect` is its name in the emulator's log, or None if it changes nothing; `convergent` says
    that it may be repeated; `candidates` is the number that a search finds after it was done.
    """

    name: str
    prepare: Callable[[Emulator], Operation[Any]]
    effect: str | None = None
    convergent: bool = False
    candidates: int = 0


def a_device(emulator: Emulator) -> str:
    return emulator.world.devices[-1].id


def a_site(emulator: Emulator) -> str:
    return emulator.world.sites[0].id


def an_empty_site(emulator: Emulator) -> str:
    emulator.world.put_site(attrs.evolve(emulator.world.sites[0], id="empty"))
    return "empty"


OPERATIONS = (
    Tried("device.get_manifest", lambda e: GetManifest(device_id=a_device(e))),
    Tried(
        "configuration.get",
        lambda e: GetConfiguration(device_id=a_device(e), group="network"),
    ),
    Tried(
        "configuration.update",
        lambda e: UpdateConfiguration(
            device_id=a_device(e), group="network", set={"port": 8502}, reset=["host"]
        ),
        "configuration.update",
        convergent=True,
    ),
    Tried(
        "configuration.reset",
        lambda e: ResetConfiguration(
            device_id=a_device(e), group="network", defaults={"port": 502}
        ),
        "configuration.reset",
        convergent=True,
    ),
    Tried("site.get", lambda e: GetSite(site_id=a_site(e))),
    Tried("site.list", lambda _: ListSites()),
    Tried(
        "site.create",
        lambda _: CreateSite(name="New", timezone="Europe/Rome"),
        "site.create",
        candidates=1,
    ),
    Tried(
        "site.update",
        lambda e: UpdateSite(site_id=a_site(e), name="New"),
        "site.update",
        convergent=True,
    ),
    Tried(
        "site.delete",
        lambda e: DeleteSite(site_id=an_empty_site(e)),
        "site.delete",
        convergent=True,
    ),
)

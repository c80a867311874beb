"""Random plans of what a server, a network, a caller and another user may do to a call.

These servers fail in every way and at every moment, but they do not lie: a server that refuses a
request has not done it and never will; one that reports success has done it.
"""

from typing import Any, Literal

import attrs
from hypothesis import strategies as st

from enapter_async.operation import Operation
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.configuration import UpdateConfiguration
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from enapter_async.operations.provisioning import ProvisionStandalone
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite
from tests.support.kinds import APPLIED, FINAL, MAYBE, NINE_INTERIMS, REFUSED
from tests.support.late import MOMENTS
from tests.support.replies import errors, followed_by, good, half_head, hang, truncated
from tests.support.server import Exchange, Reply, Step, applied, ignored, later, stale

FAR_OFF = errors(429, ("Retry-After", "3600"))
REFUSALS = frozenset((*REFUSED.values(), FAR_OFF))
"""The replies that mean "not now": any request may be sent again after them."""
TOO_MUCH = REFUSALS - {REFUSED["row21-425"]}
"""The refusals that do not count as an attempt, unless only one attempt is allowed."""

Greeting = Literal["well", "fin", "rst"]
"""How a new connection is treated: served, or closed before a request is read."""

# A session does not see the interim answers that aiohttp skips. Only honest answers say "not
# found".
_maybe = st.sampled_from([reply for reply in MAYBE.values() if reply is not NINE_INTERIMS])
_applied = st.sampled_from(list(APPLIED.values()))
_final = st.sampled_from([reply for name, reply in FINAL.items() if name != "status-404"])
_moments = st.sampled_from(MOMENTS)


def meddled(reply: Reply) -> Reply:
    """Let another user rename the device between the effect and the answer."""

    async def meddle_then(exchange: Exchange) -> bool:
        exchange.server.world.meddle(exchange.arrival.address, name="Somebody else's")
        return await reply(exchange)

    return meddle_then


writes = st.one_of(
    st.builds(ignored, _maybe),
    st.builds(applied, st.one_of(_maybe, _applied)),
    st.builds(later, _moments, _maybe),
    st.builds(applied, st.builds(meddled, _maybe)),
    st.builds(ignored, st.one_of(st.sampled_from(list(REFUSED.values())), _final)),
    st.just(ignored(FAR_OFF)),
    st.just(applied(good())),
    st.just(applied(followed_by(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))),
)
"""Steps for an arrival that changes something."""

reads = st.one_of(
    st.builds(stale, st.integers(1, 3), st.just(good())),
    st.just(applied(good())),
    st.builds(applied, st.one_of(_maybe, _applied, _final)),
    st.builds(ignored, st.sampled_from(list(REFUSED.values()))),
)
"""Steps for an arrival that only reads."""

late_writes = st.sampled_from(
    [
        *(applied(reply) for reply in (hang(), half_head("hang"), truncated("hang"))),
        *(later(moment, hang()) for moment in MOMENTS),
        ignored(hang()),
    ]
)
late_reads = st.sampled_from([applied(hang()), applied(truncated("hang")), stale(1, good())])
"""Answers that the client must stop waiting for."""


@attrs.frozen
class Cancel:
    """When the caller gives up: after `count` turns of the loop, arrivals or sleeps."""

    after: Literal["turns", "arrivals", "sleeps"]
    count: int


@attrs.frozen
class Plan:
    """One story. Its operations use different devices, so that each arrival identifies its call.

    `writes` and `reads` are the steps for the arrivals, in order; after them the server is honest.
    `greetings` are the steps for the connections. The port stays closed for `closed_for` sleeps.
    `cancels` has one entry for each operation, or none. With `together`, the calls overlap.
    """

    operations: tuple[Operation[Any], ...]
    writes: tuple[Step, ...] = ()
    reads: tuple[Step, ...] = ()
    greetings: tuple[Greeting, ...] = ()
    closed_for: int = 0
    attempts: int = 4
    regenerate: bool = False
    cancels: tuple[Cancel | None, ...] = ()
    together: bool = False


def operations_on(number: int) -> st.SearchStrategy[Operation[Any]]:
    """Return any operation on the device or the site with that number, or on a new one."""
    addresses = st.sampled_from([f"dev-{number}", f"slug-of-dev-{number}"])
    return addresses.flatmap(
        lambda address: st.sampled_from(
            [
                UpdateDevice(device_id=address, name=f"Name {number}"),
                UpdateDevice(device_id=address, slug=f"slug-{number}"),
                UpdateDevice(device_id=address, name=f"Name {number}", slug=f"slug-{number}"),
                DeleteDevice(device_id=address),
                AssignBlueprint(device_id=address, blueprint_id=f"bp-of-{number}"),
                GenerateConfig(device_id=address, protocol="MQTT"),
                GenerateConfig(device_id=address, protocol="MQTTS"),
                UpdateConfiguration(device_id=address, group="network", set={"port": number}),
                CreateExecution(device_id=address, name="reboot", arguments={"after": number}),
                GetDevice(device_id=address),
                ListDevices(offset=number),
                ProvisionStandalone(name="New", slug=f"made-{number}", site_id="site-1"),
                CreateSite(name=f"Place {number}", timezone="Europe/Rome"),
                UpdateSite(site_id=f"place-{number}", name=f"Name {number}"),
                DeleteSite(site_id=f"place-{number}"),
            ]
        )
    )


CANCELS = st.builds(Cancel, st.sampled_from(["turns", "arrivals", "sleeps"]), st.integers(1, 8))


def plans(
    *,
    writes: st.SearchStrategy[Step] = writes,
    reads: st.SearchStrategy[Step] = reads,
    calls: int = 3,
    steps: int = 6,
    attempts: int = 4,
    cancelled: bool = False,
    greeted: bool = True,
) -> st.SearchStrategy[Plan]:
    """Return plans with at most that many calls, steps and attempts."""
    return st.integers(1, calls).flatmap(
        lambda count: st.builds(
            Plan,
            operations=st.tuples(*(operations_on(number) for number in range(1, count + 1))),
            writes=st.lists(writes, max_size=steps).map(tuple),
            reads=st.lists(reads, max_size=steps).map(tuple),
            greetings=st.lists(st.sampled_from(["well", "fin", "rst"]), max_size=3).map(tuple)
            if greeted
            else st.just(()),
            closed_for=st.sampled_from([0, 0, 0, 1, 2, 5]) if greeted else st.just(0),
            attempts=st.integers(1, attempts),
            regenerate=st.booleans(),
            cancels=st.tuples(*(CANCELS for _ in range(count))) if cancelled else st.just(()),
            together=st.booleans(),
        )
    )

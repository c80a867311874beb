"""Reads a fleet by pages that overlap, so that a fleet which moves meanwhile hides no device."""

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import attrs

from enapter_async._http.call import CallRecord
from enapter_async.api.devices import read_page
from enapter_async.errors import (
    ConfigurationError,
    EnapterError,
    PermissionDeniedError,
)
from enapter_async.fleet.errors import UnsteadyFleetError
from enapter_async.fleet.reading import Caller, read_state
from enapter_async.models.devices import AccessRole, Communication, CommunicationType, Device
from enapter_async.operations.devices import LARGEST_PAGE, GetDevice, ListDevices

STEPS_BACK: Final = 5
"""How often in a row the reading steps back by a page before it gives up."""

_REMEMBERED: Final = (STEPS_BACK + 1) * LARGEST_PAGE


async def read_pages(
    client: Caller, *, site_id: str | None = None, expand: Iterable[str] = ()
) -> AsyncGenerator[tuple[Device, ...], None]:
    """Read every device of the account, or of one site, page by page.

    Each page but the first begins at the last device of the page before it. Where that
    device, or another one just read, does not stand first, devices before it came or went:
    the next request steps back by a page, up to five times in a row. So no device that was
    there all the time is missed. One that came meanwhile may be missing, and one that
    moved far may be given twice. Memory does not grow with the fleet.

    Changes nothing; safe to repeat, and to leave early.

    Raises:
        UnsteadyFleetError: five steps back found no place to go on from.

    Source: API page "Fetch Devices", `GET devices` and `GET sites/{site_id}/devices`.
    """
    names = tuple(expand)
    recent: deque[str] = deque(maxlen=_REMEMBERED)
    before: tuple[Device, ...] = ()
    offset = steps = stale = 0
    limit = LARGEST_PAGE

    async def execute(request: ListDevices) -> tuple[Device, ...]:
        return await client.call(request, record=CallRecord(decides=True), patient=True)

    while True:
        request = ListDevices(site_id=site_id, expand=names, offset=offset, limit=limit)
        page, request = await read_page(request, execute)
        limit = request.limit
        known = set(recent)
        # A page of one device leaves no room for an overlap, so the next one shows none.
        overlaps = offset > 0 and len(before) != 1
        if overlaps and not (page and page[0].id in known):
            steps += 1
            if steps > STEPS_BACK:
                raise _unsteady()
            offset = max(0, offset - max(1, limit - 1))
            continue
        fresh = tuple({device.id: device for device in page if device.id not in known}.values())
        if fresh:
            yield fresh
            steps = stale = 0
        elif len(page) <= 1 or _ids(page) == _ids(before):
            return
        else:
            # Devices came before this place: it was read already, and the new ground is ahead.
            stale += 1
            if stale > STEPS_BACK + 1:
                raise _unsteady()
        if len(page) > _REMEMBERED:
            # A server that knows no paging: remember all of it, to see that it comes again.
            recent = deque(maxlen=len(page))
        recent.extend(device.id for device in fresh)
        before = page
        offset += max(1, len(page) - 1)


def _ids(page: tuple[Device, ...]) -> list[str]:
    return [device.id for device in page]


def _unsteady() -> UnsteadyFleetError:
    return UnsteadyFleetError(
        "the list of devices changed faster than it could be read; nothing was sent, so try "
        "again later"
    )


AT_ONCE: Final = 16
"""How many devices are read at once, one by one."""

BATCH: Final = 500
_CACHE_KIB: Final = 16 * 1024

_SCHEMA: Final = """
CREATE TABLE device (
    id TEXT PRIMARY KEY, name TEXT, slug TEXT, site_id TEXT, blueprint_id TEXT,
    role TEXT, communication TEXT, upstream_id TEXT
) WITHOUT ROWID;
CREATE INDEX device_by_slug ON device (slug) WHERE slug IS NOT NULL;
CREATE INDEX device_by_upstream ON device (upstream_id) WHERE upstream_id IS NOT NULL;
CREATE TABLE wanted (address TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE answer (address TEXT PRIMARY KEY, device_id TEXT, problem TEXT) WITHOUT ROWID;
"""

_UNMET: Final = """
FROM wanted WHERE address >= ?
AND NOT EXISTS (SELECT 1 FROM device WHERE device.id = wanted.address)
AND NOT EXISTS (SELECT 1 FROM device WHERE device.slug = wanted.address)
AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.address = wanted.address)
"""
_COUNT_UNMET: Final = f"SELECT count(*) {_UNMET}"
_NEXT_UNMET: Final = f"SELECT address {_UNMET} ORDER BY address LIMIT ?"


def open_scratch() -> sqlite3.Connection:
    """Open a database that SQLite keeps in a nameless file and drops when it is closed.

    It may be used from one thread after another, never from two at once.
    """
    scratch = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    # Nothing here outlives the process, so nothing is made safe against its end.
    for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
        scratch.execute(f"PRAGMA {pragma}")
    return scratch


def batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `BATCH`."""
    pulls = iter(items)
    while batch := list(islice(pulls, BATCH)):
        yield batch


@attrs.frozen(kw_only=True)
class Found:
    """What is known under one address: a device, nothing (both None), or why nobody can say."""

    device: Device | None = None
    problem: str | None = None


class Snapshot:
    """Reads the present of a fleet into a scratch database, each device once.

    `wanted` addresses (ids and slugs) are looked for. `complete` says that every device of
    the account was read, `read` how many were. `on_read` is called with that number.
    """

    def __init__(
        self,
        client: Caller,
        scratch: sqlite3.Connection,
        *,
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        self._client = client
        self._scratch = scratch
        self._on_read = on_read
        self.expand: tuple[str, ...] = ()
        self.complete = False
        self.read = 0
        scratch.executescript(_SCHEMA)

    def add(self, devices: Iterable[Device]) -> list[Device]:
        """Keep devices; give those that are new, in the same order."""
        new: list[Device] = []
        for device in devices:
            way = device.communication or Communication()
            cursor = self._scratch.execute(
                "INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    device.id,
                    device.name,
                    device.slug,
                    device.site_id,
                    device.blueprint_id,
                    device.authorized_role,
                    way.type,
                    way.upstream_id,
                ),
            )
            if cursor.rowcount:
                new.append(device)
        self.read += len(new)
        if self._on_read is not None:
            self._on_read(self.read)
        return new

    def want(self, addresses: Iterable[str]) -> None:
        """Take note of addresses that must be looked for."""
        self._scratch.executemany(
            "INSERT OR IGNORE INTO wanted VALUES (?)", ((address,) for address in addresses)
        )

    async def look(self) -> None:
        """Look for all that is wanted: by pages, and one by one for what they do not show.

        Pages are read until all is found, the fleet ends, or they have cost as many
        requests as asking one by one would: so it never costs more than twice the cheaper way.

        Raises:
            EnapterError: something could not be read.
        """
        first = self._unmet_from("")
        if first is not None and not self.complete:
            await self._look_by_pages(first)
        await self._ask_singly()

    async def _look_by_pages(self, unmet: str) -> None:
        most_pages = self._scratch.execute(_COUNT_UNMET, ("",)).fetchone()[0]
        async with contextlib.aclosing(read_pages(self._client, expand=self.expand)) as pages:
            read = 0
            async for page in pages:
                self.add(page)
                read += 1
                # What was found stays found, so looking on from there is enough.
                following = self._unmet_from(unmet)
                if following is None or read >= most_pages:
                    return
                unmet = following
        self.complete = True

    def _unmet_from(self, address: str) -> str | None:
        row = self._scratch.execute(_NEXT_UNMET, (address, 1)).fetchone()
        return None if row is None else str(row[0])

    async def read_pages(
        self,
        site_id: str | None = None,
        *,
        on_new: Callable[[list[Device]], None] | None = None,
    ) -> None:
        """Read every device of the account, or of one site; tell each once to `on_new`.

        Raises:
            EnapterError: it could not be read.
        """
        async for page in read_pages(self._client, site_id=site_id, expand=self.expand):
            new = self.add(page)
            if on_new is not None:
                on_new(new)
        self.complete = self.complete or site_id is None

    async def _ask_singly(self) -> None:
        last = ""
        while rows := self._scratch.execute(_NEXT_UNMET, (last, BATCH)).fetchall():
            addresses = [address for (address,) in rows]
            last = addresses[-1]
            pulls = iter(addresses)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(AT_ONCE, len(addresses))):
                        group.create_task(self._ask_each(pulls))
            except* EnapterError as failures:
                raise failures.exceptions[0] from None  # the first one tells enough

    async def _ask_each(self, addresses: Iterator[str]) -> None:
        for address in addresses:
            found = problem = None
            try:
                request = GetDevice(device_id=address, expand=self.expand)
                device = await read_state(self._client, request)
            except ConfigurationError:
                # A slug that cannot stand in a path; only pages can show who holds it.
                problem = "it cannot be asked for by this slug"
            except PermissionDeniedError as error:
                problem = str(error)
            else:
                if device is not None:
                    found = device.id
                    self.add((device,))
            self._scratch.execute(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (address, found, problem)
            )

    def find(self, address: str) -> Found:
        """Say what is known under an address that was wanted and looked for.

        A text that is one device's id and another one's slug is a problem.
        """
        rows = self._scratch.execute(
            "SELECT * FROM device WHERE id = ? UNION SELECT * FROM device WHERE slug = ?",
            (address, address),
        ).fetchall()
        if len(rows) > 1:
            return Found(problem="it is the id or slug of more than one device; use its id")
        if rows:
            return Found(device=as_device(rows[0]))
        answer = self._scratch.execute(
            "SELECT device_id, problem FROM answer WHERE address = ?", (address,)
        ).fetchone()
        device_id, problem = answer or (None, None)
        if device_id is None:
            return Found(problem=problem)
        return Found(device=self.by_id(device_id))

    def by_id(self, device_id: str) -> Device:
        """Return a device that was read."""
        row = self._scratch.execute("SELECT * FROM device WHERE id = ?", (device_id,)).fetchone()
        return as_device(row)

    def sites_of(self, addresses: str) -> list[str]:
        """Return the sites of the devices whose addresses a query of the scratch file gives."""
        rows = self._scratch.execute(
            f"WITH given (address) AS ({addresses}) "  # noqa: S608 - our own text
            "SELECT site_id FROM given JOIN device ON device.id = given.address UNION "
            "SELECT site_id FROM given JOIN device ON device.slug = given.address UNION "
            "SELECT site_id FROM given JOIN answer USING (address) "
            "JOIN device ON device.id = answer.device_id"
        )
        return [site_id for (site_id,) in rows if site_id]


def as_device(row: tuple[Any, ...]) -> Device:
    """Read a row of the table of devices back; only what the table keeps is set."""
    device_id, name, slug, site_id, blueprint_id, role, communication, upstream_id = row
    kind = None if communication is None else CommunicationType(communication)
    return Device(
        id=device_id,
        name=name,
        slug=slug,
        site_id=site_id,
        blueprint_id=blueprint_id,
        authorized_role=None if role is None else AccessRole(role),
        communication=Communication(type=kind, upstream_id=upstream_id),
    )

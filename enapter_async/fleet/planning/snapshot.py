"""Reads a fleet in overlapping pages, so that changes during the read hide no device."""

import asyncio
import contextlib
import json
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import attrs

from enapter_async._http.call import CallRecord
from enapter_async.api.paging import read_page
from enapter_async.converter import (
    operation_from_json,
    operation_to_json,
    structure,
    unstructure,
)
from enapter_async.errors import ConfigurationError, EnapterError, PermissionDeniedError
from enapter_async.fleet.errors import UnsteadyFleetError
from enapter_async.fleet.reading import Caller, read_state
from enapter_async.operation import Operation, operation_class
from enapter_async.operations.nouns import Noun, noun_named, reading

STEPS_BACK: Final = 5
"""How many times in a row the reader steps back by a page before it gives up."""


async def read_pages(
    client: Caller, noun: Noun[Any], *, site_id: str | None = None, expand: Iterable[str] = ()
) -> AsyncGenerator[tuple[Any, ...], None]:
    """Yield all objects of the account, or of one site, page by page.

    Each page but the first starts at the last object of the previous page. If a page starts with an
    object that was not just read, earlier objects were added or removed: the next request steps
    back by a page, up to five times in a row. So no object that existed all the time is missed. An
    object added meanwhile may be missing, and an object that moved far may be yielded twice. Memory
    does not grow with the fleet.

    Changes nothing; safe to repeat, and to stop early.

    Raises:
        UnsteadyFleetError: after five steps back, there was still no position to continue from.
    """
    names = tuple(expand)
    remembered = (STEPS_BACK + 1) * noun.page_size
    recent: deque[str] = deque(maxlen=remembered)
    before: tuple[Any, ...] = ()
    offset = steps = stale = 0
    limit = noun.page_size

    async def execute(request: Operation[tuple[Any, ...]]) -> tuple[Any, ...]:
        return await client.call(request, record=CallRecord(decides=True), patient=True)

    while (request := noun.page(offset, limit, site_id=site_id, expand=names)) is not None:
        page, limit = await read_page(request, limit, execute)
        known = set(recent)
        # A page of one object leaves no room for an overlap with the next page.
        overlaps = offset > 0 and len(before) != 1
        if overlaps and not (page and page[0].id in known):
            steps += 1
            if steps > STEPS_BACK:
                raise _unsteady(noun)
            offset = max(0, offset - max(1, limit - 1))
            continue
        fresh = tuple({each.id: each for each in page if each.id not in known}.values())
        if fresh:
            yield fresh
            steps = stale = 0
        elif len(page) <= 1 or _ids(page) == _ids(before):
            return
        else:
            # Objects were added before this offset: the page was read already; continue after it.
            stale += 1
            if stale > STEPS_BACK + 1:
                raise _unsteady(noun)
        if len(page) > remembered:
            # A server that ignores paging: remember the whole page, to detect its repetition.
            recent = deque(maxlen=len(page))
        recent.extend(each.id for each in fresh)
        before = page
        offset += max(1, len(page) - 1)


def _ids(page: tuple[Any, ...]) -> list[str]:
    return [each.id for each in page]


def _unsteady(noun: Noun[Any]) -> UnsteadyFleetError:
    return UnsteadyFleetError(
        f"the list of {noun.name}s changed faster than it could be read; nothing was changed, try "
        f"again later"
    )


AT_ONCE: Final = 16
"""How many single objects are requested at once."""

BATCH: Final = 500

_SCHEMA: Final = """
CREATE TABLE thing (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, name TEXT, slug TEXT, site_id TEXT, upstream TEXT,
    read_by TEXT NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX thing_by_slug ON thing (slug) WHERE slug IS NOT NULL;
CREATE INDEX thing_by_upstream ON thing (upstream) WHERE upstream IS NOT NULL;
CREATE TABLE wanted (key TEXT PRIMARY KEY, reading TEXT) WITHOUT ROWID;
CREATE TABLE answer (key TEXT PRIMARY KEY, found TEXT, problem TEXT) WITHOUT ROWID;
"""
# Keys are a noun, a colon and an address, so keys of different nouns never collide.

_UNMET: Final = """
FROM wanted WHERE key >= ? AND key < ?
AND NOT EXISTS (SELECT 1 FROM thing WHERE thing.key = wanted.key)
AND NOT EXISTS (SELECT 1 FROM thing WHERE thing.slug = wanted.key)
AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.key = wanted.key)
"""
_COUNT_UNMET: Final = f"SELECT count(*) {_UNMET}"
_NEXT_UNMET: Final = f"SELECT key, reading {_UNMET} ORDER BY key LIMIT ?"
_BEYOND: Final = "\U0010ffff"
"""Sorts after every key."""


def key_of(noun: str, address: str) -> str:
    """Return the key of an object, which is unique among all nouns."""
    return f"{noun}:{address}"


def bare(key: str) -> str:
    """Return the address in a key."""
    return key.partition(":")[2]


def batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `BATCH`."""
    pulls = iter(items)
    while batch := list(islice(pulls, BATCH)):
        yield batch


@attrs.frozen(kw_only=True)
class Found:
    """The result of looking up one address: an object, nothing, or a problem.

    `key` and `state` are None if there is no object, or if `problem` says why it is unknown.
    """

    key: str | None = None
    state: Any = None
    problem: str | None = None


class Snapshot:
    """Reads the current state of a fleet into a scratch database, each object once.

    Looks up the `wanted` addresses (ids and slugs). `expand` lists, for each noun, the additional
    fields to request; `complete` lists the nouns that were read for the whole account; `read` is
    the number of objects read. `on_read` is called with that number.
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
        self.expand: dict[str, tuple[str, ...]] = {}
        self.complete: set[str] = set()
        self.read = 0
        scratch.executescript(_SCHEMA)

    def add(self, noun: str, states: Iterable[Any], read_by: str = "") -> list[Any]:
        """Store states read by an operation of kind `read_by`; return the new ones, in order."""
        facts_of = noun_named(noun).facts
        new: list[Any] = []
        for state in states:
            facts = facts_of(state)
            cursor = self._scratch.execute(
                "INSERT OR IGNORE INTO thing VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key_of(noun, facts.id),
                    facts.id,
                    facts.name,
                    facts.slug and key_of(noun, facts.slug),
                    facts.site_id,
                    facts.upstream_id and key_of(noun, facts.upstream_id),
                    read_by,
                    json.dumps(unstructure(state)),
                ),
            )
            if cursor.rowcount:
                new.append(state)
        self.read += len(new)
        if self._on_read is not None:
            self._on_read(self.read)
        return new

    def want(self, operations: Iterable[Operation[Any]], *, slugs: bool = False) -> None:
        """Record the targets to look up, and with `slugs` the holders of slugs to be set."""
        self._scratch.executemany(
            "INSERT OR IGNORE INTO wanted VALUES (?, ?)",
            (each for operation in operations for each in _addresses(operation, slugs=slugs)),
        )

    async def look(self) -> None:
        """Look up all wanted objects: by pages first, then one by one for those not found.

        Pages are read until all objects are found, the fleet ends, or the pages have cost as many
        requests as single reads would. So the total is at most twice that of the cheaper method.

        Raises:
            EnapterError: an object or a page could not be read.
        """
        last = ""
        while row := self._next_unmet(last, _BEYOND):
            noun = row[0].partition(":")[0]
            end = f"{noun};"  # the character after the colon
            if noun not in self.complete:
                await self._look_by_pages(noun_named(noun), row[0], end)
            await self._ask_singly(row[0], end)
            last = end

    async def _look_by_pages(self, noun: Noun[Any], unmet: str, end: str) -> None:
        if noun.state is None:
            return
        most_pages = self._scratch.execute(_COUNT_UNMET, (unmet, end)).fetchone()[0]
        expand = self.expand.get(noun.name, ())
        async with contextlib.aclosing(read_pages(self._client, noun, expand=expand)) as pages:
            read = 0
            async for page in pages:
                self.add(noun.name, page)
                read += 1
                # Objects that were found stay found, so the search continues from there.
                following = self._next_unmet(unmet, end)
                if following is None or read >= most_pages:
                    return
                unmet = following[0]
        self.complete.add(noun.name)

    def _next_unmet(self, key: str, end: str) -> tuple[str, str | None] | None:
        found: tuple[str, str | None] | None
        found = self._scratch.execute(_NEXT_UNMET, (key, end, 1)).fetchone()
        return found

    async def read_pages(
        self,
        noun: Noun[Any],
        site_id: str | None = None,
        *,
        on_new: Callable[[list[Any]], None] | None = None,
    ) -> None:
        """Read all objects of the account, or of one site; pass each once to `on_new`.

        Raises:
            EnapterError: a page could not be read.
        """
        expand = self.expand.get(noun.name, ())
        async for page in read_pages(self._client, noun, site_id=site_id, expand=expand):
            new = self.add(noun.name, page)
            if on_new is not None:
                on_new(new)
        if site_id is None:
            self.complete.add(noun.name)

    async def _ask_singly(self, first: str, end: str) -> None:
        last = first
        while rows := self._scratch.execute(_NEXT_UNMET, (last, end, BATCH)).fetchall():
            last = rows[-1][0]
            pulls = iter(rows)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(AT_ONCE, len(rows))):
                        group.create_task(self._ask_each(pulls))
            except* EnapterError as failures:
                raise failures.exceptions[0] from None  # the first one is enough

    async def _ask_each(self, rows: Iterator[tuple[str, str | None]]) -> None:
        for key, told in rows:
            noun, _, address = key.partition(":")
            found = problem = None
            try:
                request = self._request(noun, address, told)
                state = await read_state(self._client, request)
            except ConfigurationError:
                # The slug cannot be part of a path; only pages can show which object has it.
                problem = "it cannot be requested by this slug"
            except PermissionDeniedError as error:
                problem = str(error)
            else:
                if state is not None:
                    self.add(noun, (state,), request.kind)
                    found = key_of(noun, noun_named(noun).facts(state).id)
            self._scratch.execute(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (key, found, problem)
            )

    def _request(self, noun: str, address: str, told: str | None) -> Operation[Any]:
        found = noun_named(noun).get(address, self.expand.get(noun, ()))
        return operation_from_json(json.loads(told or "")) if found is None else found

    def find(self, key: str) -> Found:
        """Return what was found under a wanted address, after `look`.

        If the address is the id of one object and the slug of another one, that is a problem.
        """
        rows = self._scratch.execute(
            "SELECT key FROM thing WHERE key = ? UNION SELECT key FROM thing WHERE slug = ?",
            (key, key),
        ).fetchall()
        if len(rows) > 1:
            what = key.partition(":")[0]
            return Found(problem=f"it is the id or slug of more than one {what}; use the id")
        if rows:
            return Found(key=rows[0][0], state=self.by_key(rows[0][0]))
        answer = self._scratch.execute(
            "SELECT found, problem FROM answer WHERE key = ?", (key,)
        ).fetchone()
        found, problem = answer or (None, None)
        if found is None:
            return Found(problem=problem)
        return Found(key=found, state=self.by_key(found))

    def by_key(self, key: str) -> Any:
        """Return the state of an object that was read."""
        read_by, text = self._scratch.execute(
            "SELECT read_by, state FROM thing WHERE key = ?", (key,)
        ).fetchone()
        kind = operation_class(read_by)
        noun = noun_named(key.partition(":")[0])
        return structure(json.loads(text), noun.state if kind is None else kind.answer.type)

    def sites_of(self, keys: str) -> list[str]:
        """Return the sites of the objects whose keys a query of the scratch database returns."""
        rows = self._scratch.execute(
            f"WITH given (key) AS ({keys}) "
            "SELECT site_id FROM given JOIN thing ON thing.key = given.key UNION "
            "SELECT site_id FROM given JOIN thing ON thing.slug = given.key UNION "
            "SELECT site_id FROM given JOIN answer USING (key) "
            "JOIN thing ON thing.key = answer.found"
        )
        return [site_id for (site_id,) in rows if site_id]


def address_of(operation: Operation[Any]) -> str | None:
    """Return the key of an operation's target; None if the target cannot be looked up."""
    target = operation.target()
    return None if target.name is None else key_of(target.noun, target.name)


def _addresses(operation: Operation[Any], *, slugs: bool) -> Iterator[tuple[str, str | None]]:
    """Yield the keys that an operation needs, each with a read for a noun that defines none."""
    key, read_by = address_of(operation), reading(operation)
    if key is None or read_by is None:
        return
    noun = noun_named(operation.target().noun)
    yield key, json.dumps(operation_to_json(read_by)) if noun.state is None else None
    slug = operation.changes().get(noun.slug_field)
    if slugs and isinstance(slug, str):
        yield key_of(noun.name, slug), None

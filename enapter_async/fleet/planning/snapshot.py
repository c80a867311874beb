"""Reads the current states of a fleet into a database, by pages or one by one."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import attrs

from enapter_async.converter import structure, unstructure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import (
    APIError,
    ConfigurationError,
    EnapterError,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
)
from enapter_async.fleet.planning.keys import Key, address_of, key_of, parse
from enapter_async.fleet.planning.paging import read_pages
from enapter_async.fleet.reading import Caller, read_state
from enapter_async.operation import Operation, Target, operation_class
from enapter_async.operations.nouns import Noun, noun_named, reading

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
CREATE TABLE wanted (
    key TEXT PRIMARY KEY, reading TEXT, plain TEXT NOT NULL, site_id TEXT
) WITHOUT ROWID;
CREATE TABLE answer (key TEXT PRIMARY KEY, found TEXT, problem TEXT) WITHOUT ROWID;
"""

_UNMET: Final = """
FROM wanted WHERE key >= ? AND key < ?
AND NOT EXISTS (
    SELECT 1 FROM thing WHERE thing.key = wanted.plain
    AND (wanted.site_id IS NULL OR thing.site_id = wanted.site_id)
)
AND NOT EXISTS (
    SELECT 1 FROM thing WHERE thing.slug = wanted.plain
    AND (wanted.site_id IS NULL OR thing.site_id = wanted.site_id)
)
AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.key = wanted.key)
"""
_COUNT_UNMET: Final = f"SELECT count(*) {_UNMET}"
_NEXT_UNMET: Final = f"SELECT key, reading {_UNMET} ORDER BY key LIMIT ?"
_BEYOND: Final = "\U0010ffff"
"""Sorts after every key."""


Wanted = tuple[str, str | None, str, str | None]
"""A row of `wanted`; `reading` is how to read it, if its noun does not define that."""


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

    def add(
        self, noun: str, states: Iterable[Any], read_by: str = "", read_as: str = ""
    ) -> list[Any]:
        """Store states read by an operation of kind `read_by`; return the new ones, in order.

        A state that has no id has the name that it was `read_as`.
        """
        facts_at = noun_named(noun).facts_at
        new: list[Any] = []
        for state in states:
            facts = facts_at(read_as, state)
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

    def want(self, rows: Iterable[Wanted]) -> None:
        """Record keys to look up, as `wanted_by` returns them."""
        self._scratch.executemany("INSERT OR IGNORE INTO wanted VALUES (?, ?, ?, ?)", rows)

    async def absent(self, targets: Iterable[Target]) -> AsyncIterator[Target]:
        """Look up more objects one by one, after `look`; yield those that do not exist.

        One that is wanted already may be created, and one that cannot be read may exist.

        Raises:
            EnapterError: the server cannot be reached.
        """
        keys = {key_of(each.noun, each.id or "", each.site_id): each for each in targets}
        wanted = "SELECT 1 FROM wanted WHERE key = ?"
        new = [key for key in keys if not self._scratch.execute(wanted, (key,)).fetchone()]
        self.want((key, None, parse(key).plain, parse(key).site_id) for key in new)
        await self._ask_singly("", _BEYOND, lenient=True)
        for key in new:
            if self.find(key) == Found():
                yield keys[key]

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

    async def _ask_singly(self, first: str, end: str, *, lenient: bool = False) -> None:
        last = first
        while rows := self._scratch.execute(_NEXT_UNMET, (last, end, BATCH)).fetchall():
            last = rows[-1][0]
            pulls = iter(rows)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(AT_ONCE, len(rows))):
                        group.create_task(self._ask_each(pulls, lenient=lenient))
            except* EnapterError as failures:
                raise failures.exceptions[0] from None  # the first one is enough

    async def _ask_each(self, rows: Iterator[tuple[str, str | None]], *, lenient: bool) -> None:
        for key, told in rows:
            found = problem = None
            try:
                found = await self._ask(parse(key), told)
            except ConfigurationError:
                # The slug cannot be part of a path; only pages can show which object has it.
                problem = "it cannot be requested by this slug"
            except (APIError, ResponseError) as error:
                if not lenient and not _is_of_one(error, parse(key)):
                    raise
                problem = str(error)
            self._scratch.execute(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (key, found, problem)
            )

    async def _ask(self, key: Key, told: str | None) -> str | None:
        """Read an object or a part of one, store it, and return its key; None if it is absent."""
        noun = noun_named(key.noun)
        if not key.part:
            reading = noun.get_at(key.target, self.expand.get(key.noun, ()))
            request = operation_from_json(json.loads(told or "")) if reading is None else reading
            state = await read_state(self._client, request)
            if state is None:
                return None
            self.add(key.noun, (state,), request.kind, key.name)
            return key_of(key.noun, noun.facts_at(key.name, state).id)
        owner = self.find(key.owner)
        if owner.state is None:
            return None
        facts = noun.facts(owner.state)
        place = key.at(facts.id)
        if not self._scratch.execute("SELECT 1 FROM thing WHERE key = ?", (place,)).fetchone():
            request = operation_from_json(json.loads(told or ""))
            state = await read_state(self._client, request)
            if state is None:
                return None
            self._scratch.execute(
                "INSERT OR IGNORE INTO thing VALUES (?, ?, NULL, NULL, ?, NULL, ?, ?)",
                (place, facts.id, facts.site_id, request.kind, json.dumps(unstructure(state))),
            )
        return place

    def find(self, key: str) -> Found:
        """Return what was found under a wanted address, after `look`.

        If the address is the id of one object and the slug of another one, that is a problem.
        """
        pieces = parse(key)
        if pieces.part:
            owner = self.find(pieces.owner)
            if owner.state is None:
                return owner
        rows = self._scratch.execute(
            "SELECT key FROM thing WHERE key = :plain AND (:site IS NULL OR site_id = :site) "
            "UNION "
            "SELECT key FROM thing WHERE slug = :plain AND (:site IS NULL OR site_id = :site)",
            {"plain": key if pieces.part else pieces.plain, "site": pieces.site_id},
        ).fetchall()
        if len(rows) > 1:
            return Found(problem=f"it is the id or slug of more than one {pieces.noun}; use the id")
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
        noun = noun_named(parse(key).noun)
        return structure(json.loads(text), noun.state if kind is None else kind.answer.type)

    def sites_of(self, keys: str) -> list[str]:
        """Return the sites of the objects whose keys a query of the scratch database returns."""
        sites: set[str] = set()
        for batch in batches(self._scratch.execute(keys)):
            for (key,) in batch:
                found = self.find(key)
                if found.state is not None:
                    sites.add(noun_named(parse(key).noun).facts(found.state).site_id or "")
        return sorted(sites - {""})


def _is_of_one(error: EnapterError, key: Key) -> bool:
    """Return whether an error says something about one object, and not about the server."""
    if key.part:
        return isinstance(error, APIError)  # such as that of a device that is offline
    unknown_site = isinstance(error, NotFoundError) and error.from_api and key.site_id is not None
    return unknown_site or isinstance(error, PermissionDeniedError)


def wanted_by(operation: Operation[Any], *, slugs: bool = False) -> list[Wanted]:
    """Return the keys an operation needs: its target's first; none if that cannot be read.

    With `slugs` the holder of a slug to be set is among them.
    """
    target, read_by = operation.target(), reading(operation)
    if target.name is None or read_by is None:
        return []
    noun = noun_named(target.noun)
    plain = key_of(target.noun, target.name)
    owner = key_of(target.noun, target.name, target.site_id)
    if target.part:
        key, told = address_of(operation) or "", json.dumps(operation_to_json(read_by))
        return [(key, told, key, None), (owner, None, plain, target.site_id)]
    told_by = json.dumps(operation_to_json(read_by)) if noun.state is None else None
    keys: list[Wanted] = [(owner, told_by, plain, target.site_id)]
    if slugs and isinstance(slug := operation.changes().get(noun.slug_field), str):
        held = key_of(noun.name, slug)
        keys.append((held, None, held, None))
    return keys

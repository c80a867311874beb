"""Reads a journal page by page, from an SQLite file or from PostgreSQL.

Each query is written once. `Dialect` contains the differences: the tables, the condition for the
journal's rows, and the form of a parameter.
"""

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import attrs

from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import INTENT, Event, details_of, event_of, item_of

PAGE_ROWS: Final = 500
MOST_ITEMS: Final = 100_000_000
"""A journal with a higher item number is refused, since each item takes a byte of memory."""

ITEM_COLUMNS: Final = "seq, operation, before, grp, unit, wave, follows, unchanged"
EVENT_COLUMNS: Final = (
    "id, seq, step, kind, attempt, at_ms, elapsed_ms, status, code, request_id, detail"
)
WHOLE_ITEM_COLUMNS: Final = "seq, digest, operation, before, grp, unit, wave, follows, unchanged"
_ITEM_FIELDS: Final = tuple(ITEM_COLUMNS.split(", "))
_EVENT_FIELDS: Final = tuple(EVENT_COLUMNS.split(", "))
_OUTCOMES: Final = (
    "'intent', 'applied', 'unchanged', 'absent', 'differs', 'pending', 'failed', 'unknown', 'held'"
)
_DAMAGE: Final = (sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError)

Rows = TypeVar("Rows")
P = ParamSpec("P")


def damaged(name: object, error: Exception | str) -> RunRefusedError:
    """Return the error for a journal with content that was not written by a run."""
    return RunRefusedError(f"{name} is corrupt and cannot be resumed: {error}")


Connection = sqlite3.Connection | Any
"""A connection for reading, SQLite's or psycopg's."""


@attrs.frozen(kw_only=True)
class Dialect:
    """The differences between the databases that may contain a journal.

    `item`, `event` and `fact` are the tables; `only` is the condition, ending in AND, by which
    their rows belong to the journal; `kind` is the expression for an event's kind; `parameter`
    stands for a value.
    """

    item: str = "item"
    event: str = "event"
    fact: str = "run"
    only: str = ""
    kind: str = "kind"
    parameter: str = "?"

    def items(self, columns: str) -> str:
        """Return the query for a page of items."""
        p = self.parameter
        return (
            f"SELECT {columns} FROM {self.item} WHERE {self.only}seq > {p} ORDER BY seq LIMIT {p}"
        )

    def events(self, columns: str, condition: str = "") -> str:
        """Return the query for a page of events."""
        p = self.parameter
        return (
            f"SELECT {columns} FROM {self.event} "
            f"WHERE {self.only}{condition}id > {p} ORDER BY id LIMIT {p}"
        )

    def part_of(self, table: str) -> str:
        """Return the part of a table that belongs to the journal."""
        only = self.only.removesuffix(" AND ")
        return f"(SELECT * FROM {table} WHERE {only})" if only else table

    def ends(self) -> str:
        """Return the query for each item with its last event and its acknowledgement."""
        item = ", ".join(f"item.{field}" for field in _ITEM_FIELDS)
        event = ", ".join(f"event.{field}" for field in _EVENT_FIELDS)
        items, events, only = self.part_of(self.item), self.part_of(self.event), self.only
        return (
            f"SELECT {item}, {event}, told.at_ms FROM {items} AS item LEFT JOIN ("
            f"  SELECT seq, max(id) AS id FROM {self.event}"
            f"  WHERE {only}kind IN ({_OUTCOMES}) GROUP BY seq"
            f") AS last ON last.seq = item.seq LEFT JOIN {events} AS event ON event.id = last.id "
            f"LEFT JOIN (SELECT seq, max(id) AS id FROM {self.event}"
            f"  WHERE {only}kind = 'acknowledged' GROUP BY seq"
            ") AS acknowledged ON acknowledged.seq = item.seq AND acknowledged.id > last.id "
            f"LEFT JOIN {events} AS told ON told.id = acknowledged.id ORDER BY item.seq"
        )


def _checked(
    read: Callable[Concatenate["Journal", P], Iterator[Rows]],
) -> Callable[Concatenate["Journal", P], Iterator[Rows]]:
    """Make a method that reads raise `damaged` for content that was not written by a run."""

    @functools.wraps(read)
    def reading(journal: "Journal", /, *args: P.args, **named: P.kwargs) -> Iterator[Rows]:
        with journal._sound():  # noqa: SLF001 - a part of the class, written before it
            yield from read(journal, *args, **named)

    return reading


class Journal:
    """One open journal, for reading. Blocking; for one thread at a time.

    It is read in pages, because a long read would keep the database from cleaning up. Each method
    raises `RunRefusedError` for rows that were not written by a run. `name` is the journal's name
    in messages.
    """

    def __init__(self, name: str, connection: Connection, dialect: Dialect) -> None:
        self.name = name
        self._connection = connection
        self._dialect = dialect

    def close(self) -> None:
        """Close it; safe to repeat."""
        self._connection.close()

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        problem: Exception | None = None
        try:
            yield
        except RunRefusedError:
            raise
        except _DAMAGE as error:
            problem = error
        except RecursionError:
            problem = ValueError("it is nested too deeply")
        if problem is not None:
            raise damaged(self.name, problem)

    def facts(self) -> dict[str, str]:
        """Return the facts about the run; empty if no run was started."""
        facts = self._dialect.part_of(self._dialect.fact)
        with self._sound():
            found = dict(self._fetch(f"SELECT key, value FROM {facts} AS facts"))
            if not all(isinstance(text, str) for pair in found.items() for text in pair):
                raise ValueError("a fact is not text")
        return found

    def last_seq(self) -> int:
        """Return the highest seq, or -1."""
        items = self._dialect.part_of(self._dialect.item)
        # Two queries in one: SQLite would read the whole table for both values at once.
        last, first = (f"(SELECT {each}(seq) FROM {items} AS items)" for each in ("max", "min"))
        sql = f"SELECT coalesce({last}, -1), coalesce({first}, 0)"
        with self._sound():
            [(highest, lowest)] = self._fetch(sql)
            if lowest < 0 or highest >= MOST_ITEMS:
                raise ValueError(f"its items go from {lowest} to {highest}")
        return int(highest)

    def last_wave(self) -> int:
        """Return the highest number of a wave, counted from 0; -1 if there are no items."""
        items = self._dialect.part_of(self._dialect.item)
        with self._sound():
            return int(self._fetch(f"SELECT coalesce(max(wave), -1) FROM {items} AS items")[0][0])

    @_checked
    def digests(self, *, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Yield seq and digest of each item after a seq, in order."""
        yield from self._rows(self._dialect.items("seq, digest"), after)

    @_checked
    def items(self) -> Iterator[WorkItem]:
        """Yield the items, in order."""
        yield from map(item_of, self._rows(self._dialect.items(ITEM_COLUMNS)))

    def is_planned(self) -> bool:
        """Return whether any item contains the state of its target from a plan."""
        items = self._dialect.part_of(self._dialect.item)
        with self._sound():
            sql = f"SELECT 1 FROM {items} AS items WHERE before IS NOT NULL LIMIT 1"
            return bool(self._fetch(sql))

    def item(self, seq: int) -> WorkItem | None:
        """Return one item, or None if there is none."""
        with self._sound():
            rows = self._fetch(self._dialect.items(ITEM_COLUMNS), seq - 1, 1)
            return item_of(rows[0]) if rows and rows[0][0] == seq else None

    @_checked
    def events(self) -> Iterator[Event]:
        """Yield the events, in the order in which they were written."""
        yield from map(event_of, self._rows(self._dialect.events(EVENT_COLUMNS)))

    @_checked
    def item_rows(self) -> Iterator[Sequence[Any]]:
        """Yield the rows of the items as they are stored, in order, to copy them."""
        yield from self._rows(self._dialect.items(WHOLE_ITEM_COLUMNS))

    @_checked
    def event_rows(self) -> Iterator[Sequence[Any]]:
        """Yield the rows of the events as they are stored, in order, to copy them."""
        yield from self._rows(self._dialect.events(EVENT_COLUMNS))

    @_checked
    def notes(self, *, after: int = -1) -> Iterator[Event]:
        """Yield the events about the run, not about an item, in order.

        `after` is the id of an event.
        """
        notes = self._dialect.events(EVENT_COLUMNS, "seq IS NULL AND ")
        yield from map(event_of, self._rows(notes, after))

    @_checked
    def marks(self, *, after: int = -1) -> Iterator[tuple[int, Any, Any, Any]]:
        """Yield id, seq, kind and attempt of the events about items, in order.

        The values are not checked, which is faster. `after` is the id of an event.
        """
        columns = f"id, seq, {self._dialect.kind}, attempt"
        yield from self._rows(self._dialect.events(columns, "seq IS NOT NULL AND "), after)

    def last_event(self) -> int:
        """Return the id of the last event, or -1."""
        events = self._dialect.part_of(self._dialect.event)
        sql = f"SELECT coalesce(max(id), -1) FROM {events} AS events"
        with self._sound():
            return int(self._fetch(sql)[0][0])

    def first_intent(self, seq: int) -> int | None:
        """Return when the first intent of an item was written, in milliseconds since 1970."""
        p = self._dialect.parameter
        sql = (
            f"SELECT min(at_ms) FROM {self._dialect.event} "
            f"WHERE {self._dialect.only}seq = {p} AND kind = {p}"
        )
        with self._sound():
            at_ms = self._fetch(sql, seq, INTENT)[0][0]
            return at_ms if isinstance(at_ms, int) else None

    def first_details(self, seq: int) -> Mapping[str, Any]:
        """Return the details of the first intent of an item, if any."""
        p = self._dialect.parameter
        sql = (
            f"SELECT detail FROM {self._dialect.event} "
            f"WHERE {self._dialect.only}seq = {p} AND kind = {p} ORDER BY id LIMIT 1"
        )
        with self._sound():
            rows = self._fetch(sql, seq, INTENT)
            return details_of(rows[0][0]) if rows else {}

    def event(self, number: int) -> Event:
        """Return one event by its id."""
        with self._sound():
            rows = self._fetch(self._dialect.events(EVENT_COLUMNS), number - 1, 1)
            if not rows or rows[0][0] != number:
                raise LookupError(f"there is no event {number}")
            return event_of(rows[0])

    @_checked
    def ends(self) -> Iterator[tuple[WorkItem, Event | None, int | None]]:
        """Yield each item with its last event, and when its unknown outcome was acknowledged.

        This is one long read, meant for runs that no one is writing to.
        """
        for row in self._stream(self._dialect.ends()):
            item = item_of(row[: len(_ITEM_FIELDS)])
            event, acknowledged_ms = row[len(_ITEM_FIELDS) : -1], row[-1]
            yield item, None if event[0] is None else event_of(event), acknowledged_ms

    def _fetch(self, sql: str, *parameters: Any) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()

    def _stream(self, sql: str) -> Iterator[Any]:
        """Yield the rows of a query that is too long for one page."""
        yield from self._connection.execute(sql, ())

    def _rows(self, sql: str, last: int = -1) -> Iterator[Any]:
        """Yield the rows of a query for pages, after the row `last`."""
        while page := self._fetch(sql, last, PAGE_ROWS):
            yield from page
            reached = page[-1][0]
            if not reached > last:
                # In a damaged tree, pages could form an endless loop.
                raise ValueError("its rows are out of order")
            last = reached

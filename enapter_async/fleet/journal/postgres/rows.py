"""Rows of a journal as PostgreSQL takes them: lines of COPY, and arrays of whole groups.

Arrays are written as text, because psycopg would convert each element separately, which takes four
times as long.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from enapter_async.fleet.journal.postgres.schema import SCHEMA
from enapter_async.fleet.journal.records import ItemRow
from enapter_async.fleet.journal.row_groups import RowGroup

COPY_ITEMS: Final = (
    f"COPY {SCHEMA}.item (run, seq, digest, operation, before, grp, unit, wave, follows, unchanged)"
    " FROM STDIN"
)
COPY_FACTS: Final = f"COPY {SCHEMA}.fact (run, key, value) FROM STDIN"
BLOCK_ROWS: Final = 500

_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\\\0"}
)


def _cell(text: str | None) -> str:
    return "\\N" if text is None else text.translate(_ESCAPES)


def _number(value: int | None) -> str:
    return "\\N" if value is None else str(value)


def item_blocks(run: int, rows: Iterable[ItemRow]) -> Iterator[str]:
    """Yield the rows of items in blocks of lines for COPY."""
    lines: list[str] = []
    for row in rows:
        seq, digest, operation = row[:3]
        rest = "\\N\t\t\\N\t0\t\\N\t0"
        if len(row) > 3:
            before, group, unit, wave, follows, unchanged = row[3:]
            rest = (
                f"{_cell(before)}\t{_cell(group)}\t{_number(unit)}\t{wave}\t{_number(follows)}"
                f"\t{unchanged}"
            )
        lines.append(f"{run}\t{seq}\t\\\\x{digest.hex()}\t{_cell(operation)}\t{rest}\n")
        if len(lines) == BLOCK_ROWS:
            yield "".join(lines)
            lines.clear()
    if lines:
        yield "".join(lines)


def fact_lines(run: int, facts: Mapping[str, str]) -> str:
    """Return facts as lines for COPY."""
    return "".join(f"{run}\t{_cell(key)}\t{_cell(value)}\n" for key, value in facts.items())


def write_run(cursor: Any, name: str, facts: Mapping[str, str], items: Iterable[ItemRow]) -> int:
    """Write a new run by COPY, and return its number. Blocking; the caller commits.

    `cursor` is psycopg's, in a transaction, which may write several runs: all of them or none.

    Raises:
        psycopg.errors.UniqueViolation: there is a run of this name.
    """
    cursor.execute(f"INSERT INTO {SCHEMA}.run (name) VALUES (%s) RETURNING id", (name,))
    run = int(cursor.fetchone()[0])
    with cursor.copy(COPY_ITEMS) as copy:
        for block in item_blocks(run, items):
            copy.write(block)
    with cursor.copy(COPY_FACTS) as copy:
        copy.write(fact_lines(run, facts))
    return run


def _numbers(column: Iterable[int | None]) -> str:
    return "{" + ",".join(map(str, column)).replace("None", "NULL") + "}"


def _texts(column: Iterable[str | None]) -> str:
    return "{" + ",".join(["NULL" if each is None else _quoted(each) for each in column]) + "}"


def _quoted(text: str) -> str:
    # PostgreSQL stores no NUL character, which a server may put into JSON.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\\\0")
    return f'"{escaped}"'


_OWN: Final = f"WITH own AS (SELECT id FROM {SCHEMA}.run WHERE id = %s AND epoch = %s FOR SHARE)"
_OWN_DURABLY: Final = _OWN.replace(
    "SELECT id", "SELECT id, set_config('synchronous_commit', 'on', true)"
)
_EVENTS: Final = (
    f", written AS (INSERT INTO {SCHEMA}.event "
    "(run, seq, step, kind, attempt, at_ms, elapsed_ms{more}) "
    "SELECT own.id, {columns} FROM own, unnest({arrays}) "
    "WITH ORDINALITY AS row(seq, {step}kind, attempt, at_ms, elapsed_ms{more}, place) "
    "ORDER BY place RETURNING event.id)"
)
_BRIEF_EVENTS: Final = _EVENTS.format(
    more="",
    step="",
    columns="seq, 0, kind, attempt, at_ms, elapsed_ms",
    arrays="%s::int[], %s::text[], %s::int[], %s::bigint[], %s::int[]",
)
_FULL_EVENTS: Final = _EVENTS.format(
    more=", status, code, request_id, detail",
    step="step, ",
    columns="seq, step, kind, attempt, at_ms, elapsed_ms, status, code, request_id, detail",
    arrays="%s::int[], %s::int[], %s::text[], %s::int[], %s::bigint[], %s::int[], %s::int[], "
    "%s::text[], %s::text[], %s::text[]",
)
_NO_EVENTS: Final = ", written AS (SELECT NULL::bigint AS id WHERE false)"
# A group in doubt is written once more, so items and facts may exist already.
_ITEMS: Final = (
    f", items AS (INSERT INTO {SCHEMA}.item "
    "(run, seq, digest, operation, before, grp, unit, wave, follows, unchanged) "
    "SELECT own.id, row.* FROM own, unnest(%s::int[], %s::bytea[], %s::text[], %s::text[], "
    "%s::text[], %s::int[], %s::int[], %s::int[], %s::smallint[]) AS row ON CONFLICT DO NOTHING)"
)
_FACTS: Final = (
    f", facts AS (INSERT INTO {SCHEMA}.fact SELECT own.id, row.* "
    "FROM own, unnest(%s::text[], %s::text[]) AS row "
    "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value)"
)
_COUNTS: Final = " SELECT (SELECT count(*) FROM own), (SELECT max(id) FROM written)"


def group_statement(
    run: int, epoch: int, rows: RowGroup, *, durable: bool
) -> tuple[str, list[Any]]:
    """Return the one statement that writes a group if the epoch is still the run's.

    It yields one row: 1 if the epoch was the run's, else 0; and the id of the last event. With
    `durable`, the commit waits for the disk even if the database's default does not.
    """
    items, events, facts = rows.items, rows.events, rows.facts
    sql = _OWN_DURABLY if durable else _OWN
    values: list[Any] = [run, epoch]
    if items:
        sql += _ITEMS
        full = [row if len(row) > 3 else (*row, None, "", None, 0, None, 0) for row in items]
        seq, digest, operation, before, group, *rest = zip(*full, strict=True)
        values += [_numbers(seq), _texts([f"\\x{each.hex()}" for each in digest])]
        values += map(_texts, (operation, before, group))
        values += map(_numbers, rest)
    if facts:
        sql += _FACTS
        values += [_texts(facts), _texts(facts.values())]
    if not events:
        sql += _NO_EVENTS
    elif set(map(len, events)) == {5}:
        sql += _BRIEF_EVENTS
        seq, kind, *rest = zip(*events, strict=True)
        values += [_numbers(seq), "{" + ",".join(kind) + "}"]  # words of this package
        values += map(_numbers, rest)
    else:
        sql += _FULL_EVENTS
        wide = [
            row if len(row) > 5 else (row[0], 0, *row[1:], None, None, None, None) for row in events
        ]
        seq, step, kind, attempt, at_ms, elapsed_ms, status, *texts = zip(*wide, strict=True)
        values += [_numbers(seq), _numbers(step), _texts(kind)]
        values += map(_numbers, (attempt, at_ms, elapsed_ms, status))
        values += map(_texts, texts)
    return sql + _COUNTS, values

"""Circles of slugs: steps that each need a slug which the next one frees, up to the first.

One object of a circle takes a temporary slug first, which frees its own; then the others take
theirs in turn, and finally the first one takes its own. These steps are a unit: they are carried
out together or not at all.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.fleet.planning.keys import bare, key_of, parse
from enapter_async.operation import Operation
from enapter_async.operations.arguments import shown
from enapter_async.operations.nouns import noun_named

_SLUGS_SHOWN: Final = 5
_MOST_NAMES: Final = 100
"""How many temporary slugs are tried before a circle is refused; only chance can take one."""

_TAKEN: Final = """
SELECT 1 WHERE EXISTS (SELECT 1 FROM thing WHERE slug = :slug)
OR EXISTS (SELECT 1 FROM step WHERE takes = :slug)
"""

_REFUSE_UNITS: Final = """
UPDATE step SET verdict = 'refused', why = 'another operation of its circle of slugs is refused'
WHERE verdict = 'change' AND unit IN (SELECT unit FROM step WHERE verdict = 'refused')
"""
_DROP_TEMPORARY: Final = "DELETE FROM step WHERE line = unit AND verdict = 'refused'"


def open_circles(scratch: sqlite3.Connection) -> int:
    """Break each circle of slugs by a temporary slug; refuse those that cannot be broken.

    Return how many were broken; their steps need new levels.
    """
    opened = 0
    waiting = scratch.execute(
        "SELECT line FROM step WHERE verdict = 'change' AND pending > 0 ORDER BY line"
    )
    for (start,) in waiting.fetchall():
        line = _walk(scratch, start)
        if line is None:
            continue
        circle = list(_around(scratch, line))
        if _open(scratch, circle):
            opened += 1
        else:
            _refuse(scratch, circle)
    scratch.execute("DELETE FROM trail")
    return opened


def refuse_broken_units(scratch: sqlite3.Connection) -> bool:
    """Refuse the rest of each circle in which a step is refused; return whether there was one."""
    refused = scratch.execute(_REFUSE_UNITS).rowcount
    scratch.execute(_DROP_TEMPORARY)
    return refused > 0


def _walk(scratch: sqlite3.Connection, start: int) -> int | None:
    """Follow the dependencies; if they lead to a new cycle, return a line of that cycle."""
    line = start
    while True:
        been = scratch.execute("SELECT start FROM trail WHERE line = ?", (line,)).fetchone()
        if been is not None:
            return line if been[0] == start else None
        scratch.execute("INSERT INTO trail VALUES (?, ?)", (line, start))
        line = _need_of(scratch, line)


def _need_of(scratch: sqlite3.Connection, line: int) -> int:
    # A step that waits forever depends on at least one other that does.
    need: int = scratch.execute(
        "SELECT min(edge.needs) FROM edge CROSS JOIN step ON step.line = edge.needs "
        "WHERE edge.line = ? AND step.pending > 0",
        (line,),
    ).fetchone()[0]
    return need


def _around(scratch: sqlite3.Connection, line: int) -> Iterator[int]:
    at = line
    while True:
        yield at
        at = _need_of(scratch, at)
        if at == line:
            return


def _open(scratch: sqlite3.Connection, circle: list[int]) -> bool:
    """Insert a step that gives one object of a circle a temporary slug; False if impossible."""
    line = min(circle)
    rows = [_step(scratch, each) for each in circle]
    if not all(row["takes"] and row["frees"] for row in rows):
        return False  # not only slugs depend on each other
    first = _step(scratch, line)
    operation: Operation[Any] = operation_from_json(json.loads(first["operation"]))
    noun = noun_named(parse(first["frees"]).noun)
    before = json.loads(first["before"] or "{}")
    slug = _free_slug(scratch, noun.name, str(first["thing"]))
    step = None if slug is None else noun.with_slug(operation.target(), slug)
    if slug is None or step is None or noun.slug_field not in before:
        return False
    temporary: int = scratch.execute("SELECT max(line) + 1 FROM step").fetchone()[0]
    scratch.execute(
        "INSERT INTO step (line, thing, address, verdict, why, operation, before, name, type, "
        "grp, frees, takes, unit) VALUES (?, ?, ?, 'change', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            temporary,
            first["thing"],
            first["address"],
            f"a temporary slug, until operation {line} can be carried out",
            json.dumps(operation_to_json(step)),
            json.dumps({noun.slug_field: before[noun.slug_field]}),
            first["name"],
            first["type"],
            first["grp"],
            first["frees"],
            key_of(noun.name, slug),
            temporary,
        ),
    )
    scratch.execute(
        "UPDATE step SET frees = ?, before = ? WHERE line = ?",
        (key_of(noun.name, slug), json.dumps({**before, noun.slug_field: slug}), line),
    )
    scratch.executemany(
        "UPDATE step SET unit = ? WHERE line = ?", ((temporary, each) for each in circle)
    )
    # What came before the operation, or waited for its slug, is now about the temporary step.
    scratch.execute("UPDATE edge SET line = ? WHERE line = ? AND kind = 'thing'", (temporary, line))
    scratch.execute(
        "UPDATE edge SET needs = ? WHERE needs = ? AND kind IN ('slug', 'elsewhere')",
        (temporary, line),
    )
    scratch.execute("INSERT INTO edge VALUES (?, ?, 'thing')", (line, temporary))
    return True


def _step(scratch: sqlite3.Connection, line: int) -> dict[str, Any]:
    known = ("thing", "address", "name", "type", "grp")
    columns = (*known, "operation", "before", "frees", "takes")
    row = scratch.execute(
        f"SELECT {', '.join(columns)} FROM step WHERE line = ?",
        (line,),
    ).fetchone()
    return dict(zip(columns, row, strict=True))


def _free_slug(scratch: sqlite3.Connection, noun: str, thing: str) -> str | None:
    """Return a slug that nothing has or will have, the same for each plan of the same circle."""
    for number in range(_MOST_NAMES):
        slug = f"tmp-{hashlib.sha256(f'{thing}/{number}'.encode()).hexdigest()[:12]}"
        if not scratch.execute(_TAKEN, {"slug": key_of(noun, slug)}).fetchone():
            return slug
    return None


def _refuse(scratch: sqlite3.Connection, circle: list[int]) -> None:
    slugs: list[str] = []
    for at in circle:
        taken = scratch.execute("SELECT takes FROM step WHERE line = ?", (at,)).fetchone()[0]
        if taken is not None and len(slugs) <= _SLUGS_SHOWN:
            slugs.append(taken)
    named = " -> ".join(shown(bare(slug)) for slug in slugs[:_SLUGS_SHOWN])
    more = " -> ..." if len(slugs) > _SLUGS_SHOWN else ""
    why = f"these slugs are exchanged in a cycle: {named}{more}"
    scratch.executemany(
        "UPDATE step SET verdict = 'refused', why = ? WHERE line = ?",
        ((why, at) for at in circle),
    )

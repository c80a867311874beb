"""Finds conflicts and dependencies between operations on different objects, and orders them.

Works on the table `step` of a scratch database, one row per operation, so that memory use does
not grow with their number. An edge means that one step must succeed before another: a slug is
freed before it is taken, and an object is deleted after those that depend on it.

The API does not say whether slugs are unique in an account or only within a site. Within a site, or
if the site is unknown, the plan refuses to give two devices one slug. Across sites it only warns,
and uses an order that works in both cases.
"""

import sqlite3
from typing import Final

from enapter_async.fleet.planning import circles
from enapter_async.fleet.planning.keys import bare, parse
from enapter_async.operations.arguments import shown

SCHEMA: Final = """
CREATE TABLE step (
    line INTEGER PRIMARY KEY, thing TEXT, address TEXT NOT NULL, removes INTEGER NOT NULL DEFAULT 0,
    kind INTEGER NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL, why TEXT NOT NULL, operation TEXT, before TEXT, name TEXT, type TEXT,
    grp TEXT NOT NULL, frees TEXT, takes TEXT,
    level INTEGER NOT NULL DEFAULT 0, pending INTEGER NOT NULL DEFAULT 0,
    seq INTEGER, follows INTEGER, unit INTEGER
);
CREATE TABLE edge (line INTEGER NOT NULL, needs INTEGER NOT NULL, kind TEXT NOT NULL);
CREATE TABLE front (line INTEGER PRIMARY KEY);
CREATE TABLE reached (line INTEGER PRIMARY KEY, edges INTEGER NOT NULL, level INTEGER NOT NULL);
CREATE TABLE lost (line INTEGER PRIMARY KEY);
CREATE TABLE placed (line INTEGER PRIMARY KEY, number INTEGER);
CREATE TABLE trail (line INTEGER PRIMARY KEY, start INTEGER NOT NULL);
CREATE TABLE tree (line INTEGER PRIMARY KEY, root INTEGER NOT NULL);
"""

_INDEXES: Final = """
CREATE INDEX step_by_thing ON step (thing, line);
CREATE INDEX step_by_takes ON step (takes) WHERE takes IS NOT NULL;
CREATE INDEX edge_by_line ON edge (line, needs);
CREATE INDEX edge_by_needs ON edge (needs, line);
"""

_SLUG_TWICE: Final = """
WITH taking AS (
    SELECT takes, grp, count(DISTINCT thing) AS things FROM step
    WHERE verdict = 'change' AND takes IS NOT NULL GROUP BY takes, grp
)
UPDATE step SET verdict = 'refused', why = 'another operation of this plan requests the same slug'
WHERE verdict = 'change' AND (
    (takes, grp) IN (SELECT takes, grp FROM taking WHERE things > 1)
    OR takes IN (SELECT takes FROM taking GROUP BY takes HAVING min(grp) = '' AND count(*) > 1)
)
"""

_FREEING: Final = """
SELECT min(freeing.line) FROM step AS freeing
WHERE freeing.thing = holder.key AND freeing.verdict = 'change'
AND (freeing.removes OR freeing.frees = step.takes)
"""

_HELD: Final = "thing AS holder ON holder.slug = step.takes AND holder.key <> step.thing"
_ELSEWHERE: Final = "(step.grp <> '' AND holder.site_id <> '' AND step.grp <> holder.site_id)"

_SLUG_EDGES: Final = f"""
INSERT INTO edge
SELECT step.line, ({_FREEING}) AS needs, CASE WHEN {_ELSEWHERE} THEN 'elsewhere' ELSE 'slug' END
FROM step JOIN {_HELD}
WHERE step.verdict = 'change' AND step.takes IS NOT NULL AND needs IS NOT NULL
"""

_SLUG_HELD: Final = f"""
SELECT step.line, step.takes, holder.key, holder.name
FROM step JOIN {_HELD}
WHERE step.verdict = 'change' AND NOT ifnull({_ELSEWHERE}, 0) AND ({_FREEING}) IS NULL
"""

_SLUG_WARNINGS: Final = f"""
SELECT step.line, step.takes, holder.key, holder.name
FROM step JOIN {_HELD}
WHERE step.verdict = 'change' AND {_ELSEWHERE} AND NOT EXISTS (
    SELECT 1 FROM edge WHERE edge.line = step.line AND edge.needs = ({_FREEING})
)
UNION ALL
SELECT step.line, step.takes, other.thing, other.name
FROM step JOIN step AS other ON other.takes = step.takes AND other.thing <> step.thing
WHERE step.verdict = 'change' AND other.verdict = 'change' AND other.line = (
    SELECT min(line) FROM step AS each WHERE each.takes = step.takes
    AND each.verdict = 'change' AND each.thing <> step.thing
)
"""

_BELOW_EDGES: Final = """
INSERT INTO edge
SELECT step.line, lower.line, 'below'
FROM step JOIN thing AS child ON child.upstream = step.thing
JOIN step AS lower ON lower.thing = child.key
    AND lower.removes AND lower.verdict = 'change'
WHERE step.removes AND step.verdict = 'change'
"""

_BELOW_STAYS: Final = """
SELECT step.line, count(*), min(child.key)
FROM step JOIN thing AS child ON child.upstream = step.thing
WHERE step.removes AND step.verdict = 'change' AND NOT EXISTS (
    SELECT 1 FROM step AS lower WHERE lower.thing = child.key
    AND lower.removes AND lower.verdict = 'change'
)
GROUP BY step.line
"""

_THING_EDGES: Final = """
INSERT INTO edge
SELECT line, needs, 'thing' FROM (
    SELECT line, lag(line) OVER (PARTITION BY thing ORDER BY line) AS needs
    FROM step WHERE verdict = 'change'
) WHERE needs IS NOT NULL
"""

_FIND_LOST: Final = """
WITH RECURSIVE found (line) AS (
    SELECT line FROM step WHERE verdict = 'refused'
    UNION SELECT edge.line FROM edge JOIN found ON edge.needs = found.line
    WHERE edge.kind <> 'elsewhere'
)
INSERT OR IGNORE INTO lost SELECT line FROM found
"""

_REFUSE_LOST: Final = """
UPDATE step SET verdict = 'refused', why = (
    SELECT 'it depends on operation ' || min(edge.needs) || ', which is refused' FROM edge CROSS
    JOIN lost ON lost.line = edge.needs WHERE edge.line = step.line AND edge.kind <> 'elsewhere'
)
WHERE verdict = 'change' AND line IN (SELECT line FROM lost)
"""

_DROP_EDGES: Final = """
DELETE FROM edge WHERE EXISTS (
    SELECT 1 FROM step WHERE step.line IN (edge.line, edge.needs) AND step.verdict <> 'change'
)
"""

_DROP_CIRCLES_ELSEWHERE: Final = """
DELETE FROM edge WHERE kind = 'elsewhere' AND line IN (SELECT line FROM step WHERE pending > 0)
"""

_CHAIN_DELETIONS: Final = """
WITH RECURSIVE below (line, root) AS (
    SELECT DISTINCT line, line FROM edge
    WHERE kind = 'below' AND line NOT IN (SELECT needs FROM edge WHERE kind = 'below')
    UNION SELECT edge.needs, below.root FROM edge JOIN below ON edge.line = below.line
    WHERE edge.kind = 'below'
)
INSERT OR IGNORE INTO tree SELECT line, root FROM below
"""

_PLACE: Final = """
INSERT INTO placed
SELECT line, row_number() OVER (ORDER BY level, line) - 1 FROM step
WHERE verdict IN ('change', 'unchanged', 'absent')
"""

_NUMBER: Final = """
UPDATE step SET seq = (SELECT number FROM placed WHERE placed.line = step.line)
WHERE line IN (SELECT line FROM placed)
"""

_FOLLOW_SLUGS: Final = """
UPDATE step SET follows = (
    SELECT freeing.seq FROM edge JOIN step AS freeing ON freeing.line = edge.needs
    WHERE edge.line = step.line AND edge.kind IN ('slug', 'elsewhere')
    ORDER BY edge.kind DESC, freeing.seq DESC LIMIT 1
)
WHERE takes IS NOT NULL AND verdict = 'change'
"""

_PLACE_DELETIONS: Final = """
INSERT INTO placed
SELECT tree.line, lag(step.seq) OVER (PARTITION BY tree.root ORDER BY step.seq)
FROM tree JOIN step ON step.line = tree.line
"""

_FOLLOW_DELETIONS: Final = """
UPDATE step SET follows = (SELECT number FROM placed WHERE placed.line = step.line)
WHERE line IN (SELECT line FROM placed)
"""


def settle(scratch: sqlite3.Connection) -> None:
    """Refuse conflicting steps, and number the others in the order of execution.

    Fills `verdict`, `why`, `seq` and `follows` of the steps. Deletions in one tree of devices
    run one after another, from the leaves to the root.
    """
    scratch.executescript(_INDEXES)
    scratch.execute("BEGIN")
    scratch.execute(_SLUG_TWICE)
    scratch.execute(_SLUG_EDGES)
    _refuse_held_slugs(scratch)
    scratch.execute(_BELOW_EDGES)
    _refuse_used_upstreams(scratch)
    scratch.execute(_THING_EDGES)
    _refuse_dependents(scratch)
    _find_levels(scratch)
    if scratch.execute(_DROP_CIRCLES_ELSEWHERE).rowcount:
        scratch.execute("UPDATE step SET pending = 0 WHERE pending > 0")
        _find_levels(scratch)
    while circles.open_circles(scratch):
        scratch.execute("UPDATE step SET pending = 0 WHERE pending > 0")
        _find_levels(scratch)
    _refuse_dependents(scratch)
    while circles.refuse_broken_units(scratch):
        _refuse_dependents(scratch)
    _warn_across_sites(scratch)
    scratch.execute(_CHAIN_DELETIONS)
    scratch.execute(_PLACE)
    scratch.execute(_NUMBER)
    scratch.execute("CREATE UNIQUE INDEX step_by_seq ON step (seq) WHERE seq IS NOT NULL")
    scratch.execute(_FOLLOW_SLUGS)
    scratch.execute("DELETE FROM placed")
    scratch.execute(_PLACE_DELETIONS)
    scratch.execute(_FOLLOW_DELETIONS)
    scratch.execute("COMMIT")


def _refuse(scratch: sqlite3.Connection, line: int, why: str) -> None:
    scratch.execute("UPDATE step SET verdict = 'refused', why = ? WHERE line = ?", (why, line))


def _refuse_held_slugs(scratch: sqlite3.Connection) -> None:
    held = scratch.execute(_SLUG_HELD)
    while rows := held.fetchmany(500):
        for line, slug, holder, name in rows:
            _refuse(
                scratch,
                line,
                f"slug {shown(bare(slug))} is already used by {bare(holder)} ({shown(name or '')})",
            )


def _warn_across_sites(scratch: sqlite3.Connection) -> None:
    shared = scratch.execute(_SLUG_WARNINGS)
    while rows := shared.fetchmany(500):
        for line, slug, holder, name in rows:
            why = (
                f"slug {shown(bare(slug))} is also used by {bare(holder)} ({shown(name or '')}) "
                f"on another site, which the API may refuse"
            )
            scratch.execute("UPDATE step SET why = ? WHERE line = ?", (why, line))


def _refuse_used_upstreams(scratch: sqlite3.Connection) -> None:
    used = scratch.execute(_BELOW_STAYS)
    while rows := used.fetchmany(500):
        for line, number, example in rows:
            noun = parse(example).noun
            things = f"a {noun} depends" if number == 1 else f"{number} {noun}s depend"
            stay = "stays" if number == 1 else "stay"
            _refuse(scratch, line, f"{things} on it and {stay}, such as {bare(example)}")


def _refuse_dependents(scratch: sqlite3.Connection) -> None:
    scratch.execute(_FIND_LOST)
    scratch.execute(_REFUSE_LOST)
    scratch.execute(_DROP_EDGES)


def _find_levels(scratch: sqlite3.Connection) -> None:
    """Put each step on a level above the steps it needs; in a cycle, `pending` stays above 0."""
    scratch.execute(
        "UPDATE step SET level = 0, pending = (SELECT count(*) FROM edge WHERE edge.line = "
        "step.line) WHERE line IN (SELECT line FROM edge)"
    )
    scratch.execute("DELETE FROM front")
    scratch.execute(
        "INSERT INTO front SELECT DISTINCT needs FROM edge "
        "WHERE needs NOT IN (SELECT line FROM edge)"
    )
    while scratch.execute("SELECT 1 FROM front LIMIT 1").fetchone():
        scratch.execute("DELETE FROM reached")
        # Steps of one target keep the order of the input, so they may share a level.
        scratch.execute(
            "INSERT INTO reached "
            "SELECT edge.line, count(*), max(step.level + (edge.kind <> 'thing')) FROM front "
            "CROSS JOIN step ON step.line = front.line "
            "CROSS JOIN edge ON edge.needs = front.line GROUP BY edge.line"
        )
        scratch.execute(
            "UPDATE step SET (pending, level) = ("
            "SELECT step.pending - reached.edges, max(step.level, reached.level) "
            "FROM reached WHERE reached.line = step.line) "
            "WHERE line IN (SELECT line FROM reached)"
        )
        scratch.execute("DELETE FROM front")
        scratch.execute(
            "INSERT INTO front SELECT reached.line FROM reached "
            "CROSS JOIN step ON step.line = reached.line WHERE step.pending = 0"
        )

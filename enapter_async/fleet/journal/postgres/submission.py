"""Writes whole runs to PostgreSQL, without executing them."""

from collections.abc import Iterable, Mapping
from typing import Any

from enapter_async.fleet.journal.postgres.rows import (
    COPY_FACTS,
    COPY_ITEMS,
    fact_lines,
    item_blocks,
)
from enapter_async.fleet.journal.postgres.schema import SCHEMA
from enapter_async.fleet.journal.records import ItemRow


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

"""The tables of journals in PostgreSQL, with their version, all in one schema."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.journal.job_database import TABLES as JOB_TABLES
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import bounded, connect, reporting
from enapter_async.limits.postgres import CREATE_TABLE as SLOT_TABLE

SCHEMA: Final = "enapter_fleet"
VERSION: Final = 2
"""Changes with every change of the tables; a test compares them."""
RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "version": ("SELECT",),
    "run": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "fact": ("SELECT", "INSERT", "UPDATE"),
    "item": ("SELECT", "INSERT"),
    "event": ("SELECT", "INSERT"),
    "job": ("SELECT", "INSERT", "UPDATE"),
    "part": ("SELECT", "INSERT", "UPDATE"),
    "note": ("SELECT", "INSERT"),
    "worker": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "subject": ("SELECT", "INSERT", "DELETE"),
    "slot": ("SELECT", "INSERT", "UPDATE"),
}
"""The tables of journals, and what a session must be allowed to do with each."""

# Wide columns first: PostgreSQL aligns each to its own width. No foreign keys, because each would
# be looked up for every row; only the holder of a run writes its rows.
STATEMENTS: Final = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"CREATE TABLE {SCHEMA}.version (version int NOT NULL)",
    f"INSERT INTO {SCHEMA}.version VALUES ({VERSION})",
    # Half of each page stays free, so that a renewal of the lease changes no index.
    f"""CREATE TABLE {SCHEMA}.run (
        made timestamptz NOT NULL DEFAULT clock_timestamp(), lease_until timestamptz,
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, epoch int NOT NULL DEFAULT 0,
        failed_over boolean NOT NULL DEFAULT false,
        name text NOT NULL UNIQUE, holder text, stop text, timeline text
    ) WITH (fillfactor = 50)""",
    f"""CREATE TABLE {SCHEMA}.fact (
        run int NOT NULL, key text NOT NULL, value text NOT NULL, PRIMARY KEY (run, key)
    )""",
    f"""CREATE TABLE {SCHEMA}.item (
        run int NOT NULL, seq int NOT NULL, wave int NOT NULL, unit int, follows int,
        unchanged smallint NOT NULL, digest bytea NOT NULL, grp text NOT NULL,
        operation text NOT NULL, before text, PRIMARY KEY (run, seq)
    )""",
    f"""CREATE TABLE {SCHEMA}.event (
        id bigint GENERATED ALWAYS AS IDENTITY, at_ms bigint NOT NULL, run int NOT NULL, seq int,
        attempt int, elapsed_ms int, status int, step smallint NOT NULL, kind text NOT NULL,
        code text, request_id text, detail text, PRIMARY KEY (run, id)
    )""",
    SLOT_TABLE,
    f"""CREATE TABLE {SCHEMA}.subject (
        hash bigint NOT NULL, job text NOT NULL, PRIMARY KEY (hash, job)
    )""",
    *(text.format(p=f"{SCHEMA}.") for text in JOB_TABLES.split(";\n") if text.strip()),
)

MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    1: (
        f"""ALTER TABLE {SCHEMA}.job
        ADD COLUMN waits text NOT NULL DEFAULT '', ADD COLUMN resumes bigint NOT NULL DEFAULT 0,
        ADD COLUMN resumed_by text NOT NULL DEFAULT '', ADD COLUMN resumed_at double precision""",
        f"""CREATE TABLE {SCHEMA}.worker (
            name text PRIMARY KEY, queues text NOT NULL, alive_until double precision NOT NULL
        )""",
    ),
}
"""The statements that update the tables of a version to the next one."""
_IN_USE: Final = (
    f"SELECT (SELECT count(*) FROM {SCHEMA}.run WHERE lease_until > clock_timestamp())"
    f" + (SELECT count(*) FROM {SCHEMA}.part"
    " WHERE owned_until > extract(epoch FROM clock_timestamp()))"
)


def prepare(connection: Any) -> bool:
    """Create the tables, or bring older ones to this version; all or nothing. Safe to repeat.

    Return whether anything was changed. `connection` is psycopg's, in autocommit mode.

    Raises:
        RunRefusedError: they exist in a newer version, or sessions still work with the older ones.
        psycopg.Error: this user may not create or change them.
    """
    found = version_in(connection)
    if found in MIGRATIONS:
        return _migrate(connection)
    if found is not None:
        refuse_version(found, "the database")
        return False
    with connection.transaction():
        for statement in STATEMENTS:
            connection.execute(statement)
    return True


def _migrate(connection: Any) -> bool:
    with connection.transaction():
        connection.execute(f"LOCK TABLE {SCHEMA}.version")
        (found,) = connection.execute(f"SELECT version FROM {SCHEMA}.version").fetchone()
        (used,) = connection.execute(_IN_USE).fetchone()
        if used and found in MIGRATIONS:
            raise RunRefusedError(
                f"the database has journals of version {found}, and {used} runs or partitions are "
                "in progress: stop the workers, then run `fleet journal prepare` again"
            )
        for old in range(found, VERSION):
            for statement in MIGRATIONS[old]:
                connection.execute(statement)
        connection.execute(f"UPDATE {SCHEMA}.version SET version = {VERSION}")
    return bool(found < VERSION)


def version_in(connection: Any) -> int | None:
    """Return the version of the tables, or None if there are none."""
    found = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.version",)
    ).fetchone()
    if not found[0]:
        return None
    row = connection.execute(f"SELECT version FROM {SCHEMA}.version").fetchone()
    return None if row is None else int(row[0])


def connected(address: Address) -> Any:
    """Open a blocking connection to a database with the tables of this version.

    Raises:
        ConfigurationError: the tables are missing, or the address cannot be used.
        RunRefusedError: the tables have another version.
        JournalError: the database cannot be reached.
    """
    connection = connect(address)
    try:
        with reporting(f"{address.name} cannot be read"), bounded(connection):
            refuse_version(version_in(connection), address.server)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def opened(address: Address) -> Iterator[Any]:
    """Open a connection as `connected` does, and close it at the end.

    Raises:
        JournalError: a statement within failed, or as `connected` raises it.
    """
    connection = connected(address)
    with contextlib.closing(connection), reporting(f"{address.name} cannot be used"):
        yield connection


def refuse_version(version: int | None, name: str) -> None:
    """Refuse a version of the tables other than this release's; None means that there are none.

    Raises:
        ConfigurationError: there are none.
        RunRefusedError: their version differs.
    """
    if version is None:
        raise ConfigurationError(
            f"{name} has no tables for journals: create them with "
            "`enapter-async fleet journal prepare ADDRESS`"
        )
    if version < VERSION:
        raise RunRefusedError(
            f"{name} has journals of version {version}, but this release uses version {VERSION}: "
            "stop the workers, and run `enapter-async fleet journal prepare ADDRESS` with this "
            "release, which keeps all jobs"
        )
    if version > VERSION:
        raise RunRefusedError(
            f"{name} has journals of version {version}, but this release uses version {VERSION}: "
            "run `pip install -U enapter-async` here, to the release that prepared the database"
        )

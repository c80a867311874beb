"""Versions of the tables of journals and jobs: each change makes one; older tables are updated."""

from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from enapter_async.diagnosis.findings import Health
from enapter_async.diagnosis.journals import examine_journals
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.journal import job_database
from enapter_async.fleet.journal.names import prepare_journals
from enapter_async.fleet.journal.postgres import schema as postgres_schema
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.sqlite import schema as sqlite_schema

OLD = Path(__file__).with_name("postgres_tables_1.sql")
VERSIONS = {
    "PostgreSQL": (postgres_schema.VERSION, "\n".join(postgres_schema.STATEMENTS)),
    "job.db": (job_database.VERSION, job_database.TABLES),
    "a journal in a file": (sqlite_schema.VERSION, sqlite_schema.TABLES),
}
FINGERPRINTS = {
    "PostgreSQL": {1: "72de30d111eefac7", 2: "e123594315a09e90"},
    "job.db": {2: "4570ec402afc7d85"},
    "a journal in a file": {1: "917d2aab0964dd0d"},
}
"""The fingerprint of each version's tables; a version that was in use keeps its line."""
_SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'enapter_fleet' ORDER BY 1, 2;
SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'enapter_fleet' ORDER BY 1, 2;
SELECT relname, reloptions, relpersistence FROM pg_class
    WHERE relnamespace = 'enapter_fleet'::regnamespace ORDER BY 1;
SELECT version FROM enapter_fleet.version
"""


def fingerprint(tables: str) -> str:
    return sha256(" ".join(tables.split()).encode()).hexdigest()[:16]


@pytest.mark.parametrize("of", VERSIONS)
def test_tables_are_changed_together_with_their_version(of: str) -> None:
    version, tables = VERSIONS[of]
    assert FINGERPRINTS[of].get(version) == fingerprint(tables), (
        f"the tables of {of} are not those of version {version}: raise VERSION beside them, add "
        "the statements that change older ones (PostgreSQL: MIGRATIONS, and the old tables to this "
        f"folder), and record the new fingerprint {fingerprint(tables)} here"
    )
    assert max(FINGERPRINTS[of]) == version


def execute_old(connection: Any) -> None:
    old = OLD.read_text("utf-8")
    assert fingerprint(old.replace(";\n", "\n")) == FINGERPRINTS["PostgreSQL"][1]
    for statement in filter(str.strip, old.split(";\n")):
        connection.execute(statement)


def shape(connection: Any) -> list[Any]:
    return [connection.execute(sql).fetchall() for sql in _SHAPE.split(";")]


def test_older_tables_are_updated_to_this_release_and_keep_their_jobs(postgres: str) -> None:
    with closing(connect(Address.parse(postgres, with_run=False))) as connection:
        execute_old(connection)
        connection.execute(
            "INSERT INTO enapter_fleet.job (name, digest, facts, merged, created_at)"
            " VALUES ('old', '', '{}', 0, 0)"
        )
        part = "INSERT INTO enapter_fleet.part (job, no, wave, queue, first, size, owned_until)"
        connection.execute(f"{part} VALUES ('old', 0, 0, 'default', 0, 1, 4e9)")
        tables = {each.check: each for each in examine_journals(postgres)}["tables"]
        assert tables.health is Health.FAILED
        assert "fleet journal prepare ADDRESS` with this release, which keeps all jobs" in (
            tables.said
        )
        with pytest.raises(RunRefusedError, match="1 runs or partitions are in progress: stop the"):
            prepare_journals(postgres)
        connection.execute("UPDATE enapter_fleet.part SET owned_until = 0")
        assert prepare_journals(postgres) is True
        assert prepare_journals(postgres) is False
        migrated = shape(connection)
        kept = "SELECT name, resumes, waits FROM enapter_fleet.job"
        assert connection.execute(kept).fetchall() == [("old", 0, "")]
        connection.execute("DROP SCHEMA enapter_fleet CASCADE")
        assert prepare_journals(postgres) is True
        assert migrated == shape(connection)
        connection.execute("UPDATE enapter_fleet.version SET version = 99")
        with pytest.raises(RunRefusedError, match="run `pip install -U enapter-async` here"):
            prepare_journals(postgres)
        [tables] = [each for each in examine_journals(postgres) if each.check == "tables"]
        assert "pip install -U" in tables.said
        assert "prepare ADDRESS" not in tables.said + tables.advice

"""Checks whether a database can hold journals, and what a failover would cost; changes nothing."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from enapter_async.clock import Clock
from enapter_async.diagnosis.findings import Finding, failed, ok, warning
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import bounded, connect, driver, told
from enapter_async.fleet.journal.postgres.schema import RIGHTS, SCHEMA, refuse_version, version_in

OLDEST: Final = 130_000
"""The oldest supported version of PostgreSQL, in its own numbering."""
CLOCK_SECONDS: Final = 2.0
"""A larger difference between the clocks causes a warning."""

_PREPARE: Final = (
    "Run `enapter-async fleet journal prepare ADDRESS` as a user who may create tables."
)


def examine_journals(address: str, *, clock: Clock = Clock()) -> Iterator[Finding]:
    """Yield one finding for each check of a database for journals. Blocking.

    `address` may name a run, which is ignored.
    """
    try:
        connection = connect(Address.parse(address, with_run=False))
    except ConfigurationError as error:
        yield failed("address", str(error), "Correct the address: the remaining checks need it.")
        return
    except EnapterError as error:
        advice = (
            "Check host, port and password, and whether the server accepts connections from "
            "this machine."
        )
        yield failed("connection", str(error), advice)
        return
    psycopg = driver()
    with contextlib.closing(connection):
        for check in (_server, _pooling, _tables, _rights, _durability, _failover, _clock(clock)):
            try:
                with bounded(connection):
                    yield check(connection)
            except psycopg.Error as error:
                name = check.__name__.strip("_")
                yield failed(name, f"it could not be checked: {told(error)}", "")


def _one(connection: Any, sql: str, *values: Any) -> Any:
    return connection.execute(sql, values).fetchone()


def _shown(connection: Any, setting: str) -> str:
    return str(_one(connection, "SELECT current_setting(%s)", setting)[0])


def _server(connection: Any) -> Finding:
    version = connection.info.server_version
    name = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < OLDEST:
        return failed("server", f"{name} is too old", "Use PostgreSQL 13 or newer.")
    if _one(connection, "SELECT pg_is_in_recovery()")[0]:
        advice = (
            "Use the primary's address, or list all hosts with target_session_attrs=read-write."
        )
        return failed("server", f"{name} is a read-only replica", advice)
    return ok("server", f"{name} accepts writes")


def _pooling(connection: Any) -> Finding:
    told_of = connection.pgconn.backend_pid
    with connection.transaction():
        first, second = (_one(connection, "SELECT pg_backend_pid()")[0] for _ in range(2))
    if first != second:
        advice = "Set pool_mode to transaction or session for this database."
        return failed("pooling", "a pooler divides transactions among connections", advice)
    how = "directly" if told_of == first else "through a pooler that keeps transactions whole"
    return ok("pooling", f"connected {how}")


def _tables(connection: Any) -> Finding:
    try:
        refuse_version(version_in(connection), "the database")
    except RunRefusedError as error:  # it says what to run, which depends on the version
        return failed("tables", str(error), "")
    except ConfigurationError as error:
        return failed("tables", str(error), _PREPARE)
    return ok("tables", f"the schema {SCHEMA} fits this release")


def _rights(connection: Any) -> Finding:
    missing = [
        f"{right} on {SCHEMA}.{table}"
        for table, rights in RIGHTS.items()
        for right in rights
        if not _one(
            connection,
            "SELECT to_regclass(%s) IS NOT NULL AND has_table_privilege(%s, %s)",
            *(f"{SCHEMA}.{table}", f"{SCHEMA}.{table}", right),
        )[0]
    ]
    user = _one(connection, "SELECT current_user")[0]
    if missing:
        advice = f"GRANT them to {user}, with USAGE on the schema {SCHEMA}."
        return failed("rights", f"{user} lacks {', '.join(missing)}", advice)
    return ok("rights", f"{user} has all rights that sessions need")


def _durability(connection: Any) -> Finding:
    if _shown(connection, "fsync") == "off":
        said = "fsync is off: a power loss of the server may lose the last intents"
        return warning("durability", said, "Set fsync = on.")
    said = "an intent is on the server's disk before its request is sent"
    return ok("durability", said)


def _failover(connection: Any) -> Finding:
    names, level = (
        _shown(connection, each) for each in ("synchronous_standby_names", "synchronous_commit")
    )
    replicas, synchronous = _one(
        connection,
        "SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) "
        "FROM pg_stat_replication",
    )
    lost = "a failover may lose the last intents, and their operations may then be done twice"
    if not names:
        said = f"synchronous replication is off ({replicas} replicas are connected): {lost}"
        advice = "Set synchronous_standby_names if a replica may ever take over."
        return warning("failover", said, advice)
    if level not in ("on", "remote_apply"):
        said = f"synchronous_commit is {level}, which waits for no replica's disk: {lost}"
        return warning("failover", said, "Set synchronous_commit = on.")
    if not synchronous:
        said = "no synchronous replica is connected, so no commit finishes"
        return warning(
            "failover", said, f"Start a replica from {names!r}, or clear synchronous_standby_names."
        )
    said = f"each intent is also on a replica's disk ({synchronous} synchronous)"
    return ok("failover", said)


def _clock(clock: Clock) -> Callable[[Any], Finding]:
    def clocks(connection: Any) -> Finding:
        before = clock.wall()
        there = float(_one(connection, "SELECT extract(epoch FROM clock_timestamp())")[0])
        apart = there - (before + clock.wall()) / 2
        if abs(apart) > CLOCK_SECONDS:
            said = f"the server's clock is {apart:+.1f} s from this machine's"
            advice = "Reports show this machine's times; leases and limits use the server's."
            return warning("clocks", said, advice)
        return ok("clocks", "the clocks agree")

    return clocks

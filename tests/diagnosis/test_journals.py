"""What is found about a database for journals, on a real server."""

import time
from contextlib import closing

import attrs

from enapter_async.clock import Clock
from enapter_async.diagnosis.findings import Finding, Health
from enapter_async.diagnosis.journals import examine_journals
from enapter_async.fleet.journal.names import prepare_journals
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect


def found(address: str, clock: Clock = Clock()) -> dict[str, Finding]:
    return {each.check: each for each in examine_journals(address, clock=clock)}


def test_a_database_is_examined_before_and_after_it_is_prepared(postgres: str) -> None:
    before = found(postgres)
    assert before["tables"].health is Health.FAILED
    assert "fleet journal prepare" in before["tables"].advice
    assert before["rights"].health is Health.FAILED
    assert prepare_journals(f"{postgres}#run") is True
    assert prepare_journals(postgres) is False
    after = found(postgres)
    health = {name: each.health for name, each in after.items()}
    assert health == {
        "server": Health.OK,
        "pooling": Health.OK,
        "tables": Health.OK,
        "rights": Health.OK,
        "durability": Health.WARNING,  # the tests' server has fsync off
        "failover": Health.WARNING,
        "clocks": Health.OK,
    }
    assert after["pooling"].said == "connected directly"
    assert "synchronous replication is off (0 replicas" in after["failover"].said
    assert "may lose the last intents" in after["failover"].said


def test_settings_of_replication_and_clocks_are_judged(database: str) -> None:
    name = database.rpartition("/")[2]
    with closing(connect(Address.parse(database, with_run=False))) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = remote_write")
    said = found(database, attrs.evolve(Clock(), wall=lambda: time.time() - 10))
    assert said["clocks"].health is Health.WARNING
    assert "+10.0 s" in said["clocks"].said
    assert "synchronous replication is off" in said["failover"].said


def test_the_rights_that_a_user_lacks_are_named(database: str) -> None:
    with closing(connect(Address.parse(database, with_run=False))) as connection:
        connection.execute("CREATE ROLE poor LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA enapter_fleet TO poor")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA enapter_fleet TO poor")
        poor = database.replace("fleet@", "poor@")
        rights = found(poor)["rights"]
        assert rights.health is Health.FAILED
        assert "poor lacks INSERT on enapter_fleet.run, UPDATE on enapter_fleet.run" in rights.said
        connection.execute(
            "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA enapter_fleet TO poor"
        )
        assert found(poor)["rights"].health is Health.OK
        connection.execute("DROP OWNED BY poor")
        connection.execute("DROP ROLE poor")


def test_a_server_that_cannot_be_reached_is_one_finding_without_the_password() -> None:
    (finding,) = examine_journals("postgresql://ops:s3cr3t@127.0.0.1:1/ops")
    assert (finding.check, finding.health) == ("connection", Health.FAILED)
    assert "postgresql://ops@127.0.0.1:1/ops cannot be reached" in finding.said
    (finding,) = examine_journals("/tmp/run.db")  # noqa: S108 - no file is made
    assert (finding.check, finding.health) == ("address", Health.FAILED)

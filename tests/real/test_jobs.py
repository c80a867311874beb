"""Whole jobs with a journal through nginx: every outcome is compared with the upstream's log."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.clock import Clock
from enapter_async.emulator import Drop, Hang, Latency, Truncate
from enapter_async.emulator.faults import Target
from enapter_async.errors import TLSError
from enapter_async.fleet import Outcome, Report, State
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from tests.fleet.fleets import uuid
from tests.real.front import Front, TransportKind, judge, open_front
from tests.real.rows import PASS, Row
from tests.support.kinds import each
from tests.support.tls import Certificates

HURRY = 20.0
QUICK = RetryPolicy(attempts=4, base_delay=0.02, max_delay=0.2, deadline=60.0 * HURRY)
HURRIED = Clock(
    monotonic=lambda: time.monotonic() * HURRY, sleep=lambda seconds: asyncio.sleep(seconds / HURRY)
)
"""Time that runs faster than nginx's, so that a job paced over seconds takes a fraction of them."""

KINDS: dict[str, Any] = {
    "update": lambda n: UpdateDevice(device_id=uuid(n), name=f"New {n}"),
    "assign": lambda n: AssignBlueprint(device_id=uuid(n), blueprint_id="bp-2"),
    "delete": lambda n: DeleteDevice(device_id=uuid(n)),
    "config": lambda n: GenerateConfig(device_id=uuid(n), protocol="MQTT"),
}
DIFFERENT = {name: KINDS[name] for name in ("update", "delete", "config")}
"""For a job, an assignment is an update at another path; `test_calls` has both."""


async def carried_out(
    front: Front, operations: Sequence[Operation[Any]], folder: Path, **options: Any
) -> tuple[Report, list[Outcome[Any]], Report]:
    """Run a job, judge each outcome, and check that resuming repeats nothing that was done."""
    outcomes: list[Outcome[Any]] = []
    options = {
        "on_outcome": outcomes.append,
        "journal": folder / "job.db",
        "credentials": folder / "credentials.jsonl",
        "abort": None,
        **options,
    }
    report = await fleet.apply(front.client, operations, **options)
    assert report.total == len(operations)
    for outcome in outcomes:
        if outcome.state is State.ABSENT:
            assert outcome.operation.device_id not in front.world
        elif outcome.state is not State.HELD:
            judge(front.world, outcome.operation, outcome.error or outcome.result)
    done = [one.operation.device_id for one in outcomes if one.state.done]
    seen = [len(front.world.arrivals_of(device_id)) for device_id in done]
    again = await fleet.apply(front.client, operations, **options)
    assert [len(front.world.arrivals_of(device_id)) for device_id in done] == seen
    return report, outcomes, again


LIMIT = """
limit_req zone=all burst=5 nodelay;
limit_req_status {status};
location / {{ proxy_pass http://UPSTREAM; }}
{more}
"""
LATER = "error_page 429 @later; location @later { add_header Retry-After 1 always; return 429; }"
ZONE = "limit_req_zone $http_x_enapter_auth_token zone=all:1m rate=50r/s;"
LIMITS = {
    "429": Row(http=ZONE, server=LIMIT.format(status=429, more="")),
    "429-with-retry-after": Row(http=ZONE, server=LIMIT.format(status=429, more=LATER)),
}


@each("row", LIMITS)
@each("make", DIFFERENT)
async def test_a_job_against_a_limit_ends_with_all_applied(
    transport: TransportKind, make: Any, row: Row, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"server": row.server, "http": row.http, "devices": 60}
    async with open_front(transport, tmp_path, clock=HURRIED, retry=QUICK, **options) as front:
        operations = [make(n) for n in range(60)]
        report, _, _ = await carried_out(front, operations, tmp_path)
        assert report.counts[State.APPLIED] == 60
        assert front.world.count() == 60
        statuses = [line.status for line in await front.seen()]
        assert statuses.count(200) == 60
        assert 429 in statuses


TWO = "upstream api { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }"
HALF_DEAD = "upstream api { server DEAD max_fails=0; server UPSTREAM; }"
PASS_ON = "location / { proxy_pass http://api; }"

IMPATIENT = """
error_page 418 = @read;
location / {
    if ($request_method = GET) { return 418; }
    proxy_read_timeout 100ms;
    proxy_pass http://UPSTREAM;
}
location @read { proxy_pass http://UPSTREAM; }
"""
"""Only writes have the short limit: on a busy machine, a read could exceed it as well."""

ENDING = Row(server="keepalive_requests 3; keepalive_timeout 4ms;" + PASS)
ROWS = {
    "503-by-limit_req": Row(http=ZONE, server=LIMIT.format(status=503, more="")),
    "502-of-an-upstream-that-dies-first": Row(fault=Drop()),
    "502-of-an-upstream-that-dies-after": Row(fault=Drop(after_effect=True)),
    "502-passed-on-to-the-next-upstream": Row(
        http=TWO, server=PASS_ON, fault=Drop(after_effect=True)
    ),
    "502-of-one-upstream-of-two": Row(http=HALF_DEAD, server=PASS_ON),
    "504-after-the-upstream-took-it": Row(server=IMPATIENT, fault=Hang(after_effect=True)),
    "504-before-the-upstream-does-it": Row(server=IMPATIENT, fault=Latency(seconds=0.15)),
    "bodies-cut-short": Row(fault=Truncate()),
    "connections-that-end": ENDING,
}


@each("row", ROWS)
@each("make", DIFFERENT)
async def test_a_job_reports_the_truth_about_every_operation(
    transport: TransportKind, make: Any, row: Row, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"server": row.server, "http": row.http, "devices": 40}
    async with open_front(transport, tmp_path, clock=HURRIED, retry=QUICK, **options) as front:
        if row.fault is not None:
            for number in range(0, 40, 5):
                front.emulator.faults.add(row.fault, device=uuid(number))
        report, outcomes, _ = await carried_out(front, [make(n) for n in range(40)], tmp_path)
        unfinished = [each for each in outcomes if not each.state.done]
        if make is KINDS["config"]:
            # Three of the first ten answers that match no schema stop a job, which holds the rest.
            held = {State.HELD} if report.stopped else set()
            assert {each.state for each in unfinished} <= {State.UNKNOWN} | held
            sent = [line for line in await front.seen() if line.method == "POST"]
            most = Counter(line.path for line in sent).most_common(1)
            assert most[0][1] == 1, "a once-only operation was sent twice"
        elif row is ROWS["503-by-limit_req"] or (row is ENDING and transport == "session"):
            # If the settling read is refused as well, the outcome stays open; resuming the job
            # settles it. On a busy machine, all attempts through a session, which cannot inspect a
            # connection before its use, may meet connections that nginx is just closing.
            assert {each.state for each in unfinished} <= {State.UNKNOWN}
        else:
            assert unfinished == []


@each("make", DIFFERENT)
async def test_a_job_continues_after_a_server_outage(
    transport: TransportKind, make: Any, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"server": PASS, "devices": 60}
    async with open_front(transport, tmp_path, clock=HURRIED, retry=QUICK, **options) as front:
        operations = [make(n) for n in range(60)]
        begun = asyncio.Event()

        def notice(_: Target) -> bool:
            if front.world.count() >= 20:
                begun.set()
            return False

        front.emulator.faults.add(Hang(), when=notice)

        async def restart() -> None:
            await begun.wait()
            await front.nginx.stop()
            assert await front.nginx.start()

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(restart())
            job = tasks.create_task(carried_out(front, operations, tmp_path, concurrency=4))
        report, outcomes, again = job.result()
        assert {one.state for one in outcomes} <= {State.APPLIED, State.ABSENT, State.UNKNOWN}
        assert report.counts[State.UNKNOWN] <= 4, "no more than were in flight"
        if make is not KINDS["config"]:
            assert again.counts[State.UNKNOWN] == 0, "resuming the job settles it"
            assert again.ok


async def test_a_job_over_tls_is_carried_out(
    transport: TransportKind, certificates: Certificates, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "server": "keepalive_requests 5;" + PASS,
        "devices": 60,
        "certificate": certificates.issue(),
        "ssl_context": certificates.trusting(),
    }
    async with open_front(transport, tmp_path, clock=HURRIED, retry=QUICK, **options) as front:
        operations = [make(n) for n in range(60) for make in (KINDS["update"], KINDS["assign"])]
        report, _, _ = await carried_out(front, operations, tmp_path)
        assert report.counts[State.APPLIED] == report.attempts == 120
        assert front.world.count() == 120


async def test_a_job_with_an_expired_certificate_sends_nothing(
    transport: TransportKind, certificates: Certificates, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "server": PASS,
        "devices": 60,
        "certificate": certificates.issue(days=-1),
        "ssl_context": certificates.trusting(),
    }
    async with open_front(transport, tmp_path, clock=HURRIED, retry=QUICK, **options) as front:
        operations = [KINDS["update"](n) for n in range(60)]
        report, _, _ = await carried_out(front, operations, tmp_path)
        assert isinstance(report.stopped, TLSError)
        assert report.counts[State.HELD] >= 60 - 8
        assert await front.seen() == []

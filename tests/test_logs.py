"""Log lines about calls: none unless requested, readable, and without secrets."""

import logging
import os
import re
import subprocess
from pathlib import Path

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    Attempt,
    AuthenticationError,
    Certainty,
    ConfigurationError,
)
from enapter_async.hooks import AttemptFailed, CallEnded, ReadBack, Waited, Waiting
from enapter_async.logs import CallLog, asked_for
from enapter_async.operations.devices import UpdateDevice
from tests.support.clock import FakeClock
from tests.support.forks.starting import programs
from tests.support.replies import answer, close, errors, truncated
from tests.support.rig import CONFIG, GET, TOKEN, UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored

CALL = "call N UpdateDevice dev-1"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged lines, with each call number and time replaced by a letter."""
    told = [record.getMessage() for record in caplog.records]
    return [
        re.sub(r"\d+(\.\d+)? m?s\b", "T", re.sub(r"^call \d+", "call N", each)) for each in told
    ]


async def test_a_successful_call_is_two_lines(
    transport: TransportKind, server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_rig(transport, server, hooks=[CallLog()]) as rig:
        with caplog.at_level(logging.DEBUG, "enapter_async"):
            await rig.run(GET)
    assert lines(caplog) == [
        f"call N GetDevice dev-1: starts, at {server.base_url}",
        "call N GetDevice dev-1: attempt 1: HTTP 200, T",
        "call N GetDevice dev-1: done, T",
    ]
    assert {record.name for record in caplog.records} == {"enapter_async.calls"}


async def test_an_uncertain_call_logs_each_step(
    transport: TransportKind,
    server: FaultServer,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.script(ignored(errors(429, ("Retry-After", "2"))), applied(truncated()))
    async with open_rig(transport, server, clock, hooks=[CallLog()]) as rig:
        with caplog.at_level(logging.INFO, "enapter_async"):
            await rig.run(UPDATE)
    assert lines(caplog) == [
        f"{CALL}: attempt 1: HTTP 429 (RateLimitedError), refused, T, the server requests T",
        f"{CALL}: waits T (retry-after)",
        f"{CALL}: attempt 2: HTTP 200 (ResponseError), applied, T",
        f"{CALL}: reads back, to determine the outcome",
        f"{CALL}: done, as a read shows, T, 2 failed attempts",
    ]
    # a Retry-After of 2 s has at most 0.25 * 2 + 0.5 s of jitter, with randomness at its maximum
    assert "waits 2100 ms" in caplog.text


async def test_an_unknown_outcome_is_a_warning(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(applied(close()))
    async with open_rig("direct", server, hooks=[CallLog()]) as rig:
        with caplog.at_level(logging.DEBUG, "enapter_async"), pytest.raises(AmbiguousOutcomeError):
            await rig.run(CONFIG)
    last = caplog.records[-1]
    assert last.levelno == logging.WARNING
    assert "ended in AmbiguousOutcomeError: " in last.getMessage()


async def test_a_servers_text_cannot_control_a_terminal_and_no_secret_is_logged(
    transport: TransportKind, server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    said = f'{{"errors":[{{"code":"X","message":"\\u001b[31mred {TOKEN}\\nnext\\u202e"}}]}}'
    server.script(
        ignored(answer(401, said.encode(), ("X-Request-Id", f"r\x1b[1m{TOKEN}"))),
    )
    async with open_rig(transport, server, hooks=[CallLog()]) as rig:
        with caplog.at_level(logging.DEBUG, "enapter_async"):
            with pytest.raises(AuthenticationError):
                await rig.run(UpdateDevice(device_id="dev-1", name="A private name"))
            await rig.run(CONFIG)
    assert TOKEN not in caplog.text
    assert "private" not in caplog.text
    assert "password" not in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert "401" in caplog.text


def test_each_text_from_a_server_is_made_safe(caplog: pytest.LogCaptureFixture) -> None:
    hostile = "\x1b[2J\u202e one\nline\x9b1m"
    error = APIError(hostile * 40, status=400, request_id=hostile)
    attempt = Attempt(number=1, certainty=Certainty.REFUSED, error_type=hostile, elapsed=0.1)
    with caplog.at_level(logging.DEBUG, "enapter_async"):
        CallLog()(AttemptFailed(call=1, operation=GET, attempt=attempt))
        CallLog()(ReadBack(call=1, operation=UPDATE, reading=GET, elapsed=0.1, error_type=hostile))
        CallLog()(Waited(call=1, operation=GET, seconds=0.1, reason=hostile))
        CallLog()(Waiting(call=1, operation=GET, seconds=0.1, reason=hostile))
        CallLog()(CallEnded(call=1, operation=GET, elapsed=0.1, error=error))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 5
    assert all(each.isprintable() and " one line" in each for each in told)
    assert all(len(each) < 500 for each in told)


def test_nothing_is_logged_by_default() -> None:
    for value in ("", "off", "0", "OFF"):
        assert asked_for({"ENAPTER_LOG": value}) == ()
    assert asked_for({}) == ()


def test_an_unknown_level_is_reported() -> None:
    with pytest.raises(ConfigurationError, match="ENAPTER_LOG must be debug, info or off"):
        asked_for({"ENAPTER_LOG": "loud\x1b[31m"})


PROGRAM = """
import asyncio, logging, sys
from enapter_async import Client, ListDevices
from enapter_async.emulator import Emulator

async def main():
    async with Emulator(devices=3, seed=1, token="tok-secret-1") as emulator:
        environ = {
            "ENAPTER_HTTP_API_TOKEN": "tok-secret-1",
            "ENAPTER_HTTP_API_BASE_URL": emulator.base_url,
            "ENAPTER_LOG": sys.argv[1],
        }
        for _ in range(2):
            async with Client.from_env(environ) as client:
                await client.execute(ListDevices())
        async with Client("tok-secret-1", base_url=emulator.base_url) as client:
            await client.execute(ListDevices())

asyncio.run(main())
print(logging.getLogger().handlers)
"""
WITH_A_LOG_OF_ITS_OWN = (
    "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level=logging.DEBUG)\n"
    + PROGRAM.removesuffix("print(logging.getLogger().handlers)\n")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def printed(file: Path, level: str, program: str = PROGRAM, out: str = "[]\n") -> list[str]:
    file.write_text(program, "utf-8")
    environment = {key: text for key, text in os.environ.items() if not key.startswith("ENAPTER")}
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [programs(environment) / "python", file, level],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    lines = [line for line in done.stdout.splitlines(keepends=True) if "asyncio" not in line]
    assert "".join(lines) == out, "the root logger is the program's own"
    assert "tok-secret-1" not in done.stderr
    return done.stderr.splitlines()


def test_a_process_is_quiet_until_its_environment_asks(file: Path) -> None:
    assert printed(file, "") == []
    info = printed(file, "info")
    assert len(info) == 2, "one call of each of the two clients created from the environment"
    shape = r"\d\d:\d\d:\d\d\.\d{3} INFO    call \d+ ListDevices: done, \d+ ms"
    assert all(re.fullmatch(shape, line) for line in info)
    debug = printed(file, "debug")
    assert len(debug) == 6
    assert re.search(r"DEBUG   call \d+ ListDevices: attempt 1: HTTP 200, \d+ ms$", debug[1])


def test_printed_lines_are_not_logged_twice(file: Path) -> None:
    assert len(printed(file, "info", WITH_A_LOG_OF_ITS_OWN, out="")) == 2


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            CallEnded(call=1, operation=UPDATE, elapsed=0.1, cancelled=True),
            "cancelled by its caller",
        ),
        (CallEnded(call=1, operation=UPDATE, elapsed=0.1, already_absent=True), "already gone"),
        (CallEnded(call=1, operation=UPDATE, elapsed=0.1, settled=True), "done, as a read shows"),
        (CallEnded(call=1, operation=UPDATE, elapsed=12.5), "done, 12.5 s"),
    ],
)
def test_each_outcome_has_its_words(
    event: CallEnded, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "enapter_async"):
        CallLog()(event)
    assert said in caplog.text

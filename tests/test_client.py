"""The client itself: its settings, its life cycle, and its events for hooks."""

import asyncio
import gc
import logging
import ssl
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from enapter_async._http.call import CallRecord
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
    NotFoundError,
    TransportError,
)
from enapter_async.hooks import (
    AttemptFailed,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    ReadBack,
    Waiting,
)
from enapter_async.limits.pacing import Pacing
from tests.support.clock import FakeClock
from tests.support.kinds import each
from tests.support.lag import timed
from tests.support.replies import close, errors, truncated
from tests.support.rig import CONFIG, DELETE, GET, TOKEN, UPDATE, TransportKind, attempts, open_rig
from tests.support.server import FaultServer, applied, ignored

GOOD_URLS = {
    "": "/v3/devices/dev-1",
    "/": "/v3/devices/dev-1",
    "/v3": "/v3/devices/dev-1",
    "/v3/": "/v3/devices/dev-1",
    "/api": "/api/v3/devices/dev-1",
    "/api/": "/api/v3/devices/dev-1",
    "/api/v3": "/api/v3/devices/dev-1",
    "/a%20b/c": "/a%20b/c/v3/devices/dev-1",
}


@pytest.mark.parametrize(("suffix", "target"), GOOD_URLS.items(), ids=repr)
async def test_row54_the_path_below_the_base_is_kept(
    transport: TransportKind, suffix: str, target: str, server: FaultServer
) -> None:
    async with open_rig(transport, server, base_url=server.base_url + suffix) as rig:
        await rig.run(GET)
    assert server.arrivals[0].target == target


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_row54_http_to_this_machine_is_allowed(host: str) -> None:
    Client(token=TOKEN, base_url=f"http://{host}:8080")


BAD_URLS = {
    "user": "https://me@api.example.test",
    "user-and-password": "https://me:hunter2@api.example.test",
    "empty-user": "https://:hunter2@api.example.test",
    "query": "https://api.example.test/?a=1",
    "empty-query": "https://api.example.test/?",
    "fragment": "https://api.example.test/#a",
    "empty-fragment": "https://api.example.test/#",
    "ftp": "ftp://api.example.test",
    "file": "file:///etc/passwd",
    "websocket": "wss://api.example.test",
    "no-scheme": "api.example.test",
    "no-host": "https://",
    "relative": "/v3",
    "empty": "",
    "port-too-high": "https://api.example.test:99999",
    "newline": "https://api.example.test/\n",
    "space": "https://api.example.test/ v3",
    "http": "http://api.example.test",
    "http-private": "http://192.168.1.7/api",
    "http-looks-like-loopback": "http://127.0.0.1.example.test",
    "http-localhost-below": "http://localhost.example.test",
    "number": 5,
    "none": None,
    "bytes": b"https://api.example.test",
}


@each("url", {f"row54-{name}": url for name, url in BAD_URLS.items()})
def test_a_base_url_that_is_not_safe_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(token=TOKEN, base_url=url)
    assert "hunter2" not in str(caught.value)


def test_row54_http_elsewhere_is_allowed_on_demand_with_one_warning() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        client = Client(
            token=TOKEN, base_url="http://enapter-gateway.local/api", allow_insecure_http=True
        )
    assert len(told) == 1
    assert TOKEN not in str(told[0].message)
    assert client.base_url == URL("http://enapter-gateway.local/api")


BAD_TOKENS = {
    "empty": "",
    "cr": "to\rken",
    "lf": "to\nken",
    "lf-at-end": "hunter2\n",
    "crlf": "hunter2\r\nX-Evil: 1",
    "nul": "hunter2\0",
    "space-inside": "hunter2 x",
    "space-before": " hunter2",
    "space-after": "hunter2 ",
    "tab": "hunter2\t",
    "accent": "hunter2é",
    "surrogate": "hunter2\ud800",
    "del": "hunter2\x7f",
    "bytes": b"hunter2",
    "number": 5,
}


@each("token", {f"row37-{name}": token for name, token in BAD_TOKENS.items()})
@pytest.mark.parametrize("setting", ["token", "user"])
def test_values_invalid_in_a_header_are_refused_without_showing_them(
    setting: str, token: Any
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(**{setting: token})
    assert "hunter2" not in f"{caught.value!r}"
    assert isinstance(caught.value, ValueError)
    assert caught.value.__context__ is None


async def test_a_client_without_a_token_sends_none(
    transport: TransportKind, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENAPTER_HTTP_API_TOKEN", "from-the-environment")
    async with open_rig(transport, server, token=None) as rig:
        await rig.run(GET)
    assert server.arrivals[0].header("X-Enapter-Auth-Token") is None


async def test_a_user_is_named(transport: TransportKind, server: FaultServer) -> None:
    async with open_rig(transport, server, user="user-7") as rig:
        await rig.run(GET)
    assert server.arrivals[0].header("X-Enapter-Auth-User") == "user-7"


async def test_from_env_reads_three_variables(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENAPTER_HTTP_API_TOKEN", "env-token")
    monkeypatch.setenv("ENAPTER_HTTP_API_BASE_URL", server.base_url)
    monkeypatch.setenv("ENAPTER_HTTP_API_USER", "env-user")
    async with Client.from_env() as client:
        await client.execute(GET)
    async with Client.from_env(token="given") as client:
        await client.execute(GET)
    first, second = server.arrivals
    assert first.header("X-Enapter-Auth-Token") == "env-token"
    assert first.header("X-Enapter-Auth-User") == "env-user"
    assert second.header("X-Enapter-Auth-Token") == "given"


def test_from_env_without_a_token_says_which_name_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ENAPTER_HTTP_API_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="ENAPTER_HTTP_API_TOKEN"):
        Client.from_env()


def test_the_defaults_are_the_documented_ones() -> None:
    client = Client()
    assert client.base_url == URL("https://api.enapter.com")
    assert client.retry == RetryPolicy(
        attempts=4,
        base_delay=0.5,
        max_delay=20.0,
        deadline=60.0,
        max_retry_after=120.0,
        on_ambiguous="raise",
    )
    assert client.timeouts == Timeouts(connect=10.0, read=30.0)
    assert Pacing() == Pacing(max_in_flight=100, max_rate=None)


def test_a_context_below_tls_1_2_is_refused() -> None:
    context = ssl.create_default_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.raises(ConfigurationError):
        Client(token=TOKEN, ssl_context=context)


async def test_one_connection_serves_calls_that_follow_each_other(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        for _ in range(20):
            await rig.run(GET)
    assert len(server.connections) == 1


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_a_closed_client_leaves_no_connection(server: FaultServer) -> None:
    async with Client(token=TOKEN, base_url=server.base_url) as client:
        await client.execute(GET)
    await server.emptied()
    del client
    gc.collect()


async def test_a_client_is_entered_once(server: FaultServer) -> None:
    client = Client(token=TOKEN, base_url=server.base_url)
    async with client:
        with pytest.raises(ConfigurationError):
            await client.__aenter__()
    with pytest.raises(ConfigurationError):
        await client.__aenter__()


async def test_other_options_are_for_that_client_alone(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(close()))
    async with open_rig(transport, server) as rig:
        once = rig.client.with_options(retry=attempts(1))
        with pytest.raises(TransportError):
            await once.execute(GET)
        assert len(server.arrivals) == 1
        with pytest.raises(TransportError):
            await rig.client.execute(GET)
        assert len(server.arrivals) == 5
        assert once.retry.attempts == 1
        assert once.timeouts == rig.client.timeouts
        assert rig.client.retry.attempts == 4


@timed
async def test_a_call_reports_every_event(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(errors(425)), applied(truncated()))
    async with open_rig(transport, server, clock) as rig:
        await rig.run(UPDATE)
        kinds = [type(event) for event in rig.events]
        assert kinds == [
            CallStarted,
            AttemptStarted,
            AttemptFailed,
            Waiting,
            AttemptStarted,
            AttemptFailed,
            Waiting,
            ReadBack,
            CallEnded,
        ]
        assert len({event.call for event in rig.events}) == 1
        assert all(event.operation == UPDATE for event in rig.events)
        assert rig.waits == [("backoff", 1.0), ("settle", 0.0)]
        first, second = rig.attempts
        assert (first.number, first.certainty, first.status) == (1, Certainty.REFUSED, 425)
        assert (second.number, second.certainty, second.status) == (2, Certainty.APPLIED, 200)
        assert rig.ended.settled
        assert rig.ended.elapsed == pytest.approx(1.0, abs=0.2)


async def test_a_failing_hook_affects_no_call(
    transport: TransportKind, server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_event: Event) -> None:
        raise RuntimeError("the hook's own failure")

    server.script(ignored(close()))
    async with open_rig(transport, server, hooks=(broken,)) as rig:
        with caplog.at_level(logging.ERROR, "enapter_async"):
            await rig.run(UPDATE)
        assert rig.told(CallEnded) == 1
    assert "the hook's own failure" in caplog.text


async def test_a_record_is_filled_however_the_call_ends(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        record = CallRecord()
        server.script(applied(truncated()))
        await rig.client.call(UPDATE, record=record)
        assert [attempt.certainty for attempt in record.attempts] == [Certainty.APPLIED]
        assert record.settled
        record = CallRecord()
        server.script(applied(close()))
        with pytest.raises(AmbiguousOutcomeError):
            await rig.client.call(CONFIG, record=record)
        assert [attempt.certainty for attempt in record.attempts] == [Certainty.MAYBE]
        assert not record.settled
        record = CallRecord()
        server.script(applied(close()))
        await rig.client.call(DELETE, record=record, patient=True)
        assert record.already_absent
        assert record.elapsed > 0
        with pytest.raises(NotFoundError):
            await rig.client.call(DELETE, record=CallRecord())


async def test_a_patient_call_may_wait_longer_than_its_deadline(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    pacing = Pacing(max_rate=0.01)
    async with open_rig(transport, server, clock, pacing=pacing) as rig:
        await rig.run(GET)
        assert type(await rig.fails(GET)) is DeadlineExceededError
        await rig.client.call(GET, record=CallRecord(), patient=True)
        assert sum(clock.sleeps) > 99


async def test_the_methods_execute_operations(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        devices = rig.client.devices
        assert (await devices.get("dev-1", expand=["communication"])).id == "dev-1"
        assert (await devices.update("dev-1", name="Boiler")).name == "Boiler"
        assert (await devices.assign_blueprint("dev-1", blueprint_id="bp-9")).id == "dev-1"
        assert (await devices.generate_config("dev-1", protocol="mqtts")).mqtt_port == 8883
        await devices.delete("dev-1")
        assert [device.id async for device in devices.list()] == ["dev-2", "dev-3"]
    assert server.seen[:5] == ["GET", "PATCH", "POST", "POST", "DELETE"]
    assert server.arrivals[1].body == b'{"name":"Boiler"}'


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry": 4},
        {"timeouts": 10.0},
        {"pacing": 100},
        {"ssl_context": True},
        {"session": "a session"},
        {"hooks": print},
        {"hooks": ["a hook"]},
        {"hooks": [asyncio.sleep]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_setting_of_the_wrong_type_is_refused_and_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"^{name} must be (of type|a list|plain)"):
        Client(token=TOKEN, **wrong)


@pytest.mark.parametrize("count", [True, "3", 2.0])
def test_attempts_are_a_whole_number(count: Any) -> None:
    with pytest.raises(ConfigurationError, match="whole number"):
        RetryPolicy(attempts=count)


async def test_a_client_with_other_options_is_used_and_not_entered(server: FaultServer) -> None:
    pacing = Pacing(max_in_flight=3)
    async with Client(token=TOKEN, base_url=server.base_url, pacing=pacing) as client:
        other = client.with_options(retry=attempts(1))
        assert other.pacing == pacing
        with pytest.raises(ConfigurationError, match="used without `async with`"):
            await other.__aenter__()
        assert (await other.execute(GET)).id == "dev-1"


def test_a_context_that_writes_its_keys_to_a_file_causes_a_warning(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.keylog_filename = str(tmp_path / "keys")
    with pytest.warns(UserWarning, match="session keys"):
        Client(token=TOKEN, ssl_context=context)


async def test_a_session_whose_context_verifies_nobody_is_refused() -> None:
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=anybody)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(ConfigurationError, match="does not verify"):
            await Client(token=TOKEN, session=session).__aenter__()

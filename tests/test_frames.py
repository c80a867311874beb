"""No frame of the package that an error passed through holds a token, a password or a key.

Tools that report errors store the locals of each frame, and show them to many people.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import fleet
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.models.configs import CommunicationConfig, MQTTCredentials, MQTTProtocol
from enapter_async.operations.devices import GenerateConfig
from enapter_async.profiles import from_profile
from tests.support.kinds import each
from tests.support.replies import hang, head, raw
from tests.support.rig import CONFIG, GET, TOKEN, TransportKind, attempts, open_rig
from tests.support.secrets import causes, locals_of
from tests.support.server import FaultServer, applied, ignored

PASSWORD = "PASSWORD-SECRET"


def assert_hidden(error: BaseException) -> None:
    """Check that no frame of the package shows a secret, as text or inside a value."""
    leaks = [line for line in locals_of(error) if TOKEN in line or PASSWORD in line]
    assert leaks == []
    for each_error in causes(error):
        assert PASSWORD not in f"{each_error!r} {each_error}"


# Calls that are cancelled or broken


async def cut(client: Client, server: FaultServer, operation: Any) -> BaseException:
    """Let the caller's own timeout cut off a call that has arrived."""
    call = asyncio.ensure_future(client.execute(operation))
    await server.arrived(1)
    await asyncio.sleep(0.02)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.01):
            await call
    return caught.value


HALF = (
    head(200, ("Content-Type", "application/json"), ("Content-Length", "500"))
    + b'{"config": {"mqtt_credentials": {"username": "u", "password": "%s"}, "mqtt_host": "h'
    % PASSWORD.encode()
)
CUT_AT = {
    "waiting-for-the-answer": raw(b"", "hang"),
    "in-the-head": raw(b"HTTP/1.1 200 OK\r\nX-Password: " + PASSWORD.encode(), "hang"),
    "in-the-body": raw(HALF, "hang"),
}


@each("reply", CUT_AT)
async def test_a_call_that_is_cut_shows_nothing(
    transport: TransportKind, reply: Any, server: FaultServer
) -> None:
    server.always(applied(reply))
    async with open_rig(transport, server) as rig:
        error = await cut(rig.client, server, CONFIG)
    assert sum(1 for _ in causes(error)) > 1, "the cancellation is checked, too"
    assert_hidden(error)


async def test_a_call_that_is_cut_while_it_sleeps_or_settles_shows_nothing(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(raw(HALF, "fin")), method="POST")
    server.always(ignored(hang()), method="GET")
    async with open_rig(transport, server, timeouts=Timeouts(connect=5, read=5)) as rig:
        assert_hidden(await cut(rig.client, server, GET))


class Faulty(GenerateConfig):
    """A user's own operation that fails at some moment."""

    @staticmethod
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError


MOMENTS: dict[str, type[GenerateConfig]] = {
    name: type("Faulty", (Faulty,), {name: Faulty.fail}) for name in ("accepts", "request")
}


@each("kind", MOMENTS)
async def test_an_operation_that_fails_by_itself_shows_nothing(
    transport: TransportKind, kind: type[GenerateConfig], server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        with pytest.raises(ZeroDivisionError) as caught:
            await rig.client.execute(kind(device_id="dev-1", protocol="MQTT"))
    assert_hidden(caught.value)


# Configuration


def profile(text: str) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        path = folder / "config.toml"
        path.touch(0o600)
        path.write_bytes(text.encode(errors="surrogateescape"))
        return from_profile("a", environ={"ENAPTER_CONFIG": str(path)})

    return make


def environment(**variables: str) -> Callable[[Path], Any]:
    environ = {"ENAPTER_HTTP_API_TOKEN": TOKEN, **variables}
    return lambda _: Client.from_env(environ)


def private(folder: Path, text: str) -> Path:
    path = folder / "token"
    path.touch(0o600)
    path.write_text(text)
    return path


def token_file(folder: Path) -> Any:
    private(folder, f" {TOKEN} \n")
    return profile('[profiles.a]\ntoken_file = "token"\n')(folder)


ENTRY = f'[profiles.a]\ntoken = "{TOKEN}"\n'
WRONG: Mapping[str, Callable[[Path], Any]] = {
    "token-with-a-newline": lambda _: Client(f"{TOKEN}\n"),
    "token-as-bytes": lambda _: Client(TOKEN.encode()),  # type: ignore[arg-type]  # that is the mistake
    "user": lambda _: Client(TOKEN, user="a b"),
    "base-url": lambda _: Client(TOKEN, base_url="api.enapter.com"),
    "retry": lambda _: Client(TOKEN, retry=3),  # type: ignore[arg-type]  # that is the mistake
    "environment-newline": environment(ENAPTER_HTTP_API_TOKEN=f"{TOKEN}\n"),
    "environment-base-url": environment(ENAPTER_HTTP_API_BASE_URL="http://gw.example/api"),
    "environment-log": environment(ENAPTER_LOG="trace"),
    "environment-and-setting": lambda _: Client.from_env({}, token=TOKEN, retry=3),
    "environment-profile": lambda folder: from_profile(
        "b", environ={"ENAPTER_HTTP_API_TOKEN": TOKEN, "ENAPTER_CONFIG": str(folder / "none")}
    ),
    "profile-setting": lambda folder: from_profile(
        environ={"ENAPTER_CONFIG": str(private(folder, ""))}, token=TOKEN, timeouts=3
    ),
    "profile-log": lambda folder: from_profile(
        environ={"ENAPTER_HTTP_API_TOKEN": TOKEN, "ENAPTER_LOG": "x"}
        | {"ENAPTER_CONFIG": str(private(folder, ""))}
    ),
    "profile-base-url": profile(ENTRY + 'base_url = "nonsense"\n'),
    "profile-mistyped-key": profile(ENTRY + 'base_ulr = "x"\n'),
    "profile-mistyped-token": profile(f'[profiles.a]\ntokn = "{TOKEN}"\n'),
    "profile-of-another-type": profile(f'[profiles.a]\ntoken = ["{TOKEN}"]\n'),
    "proxy": lambda _: Client(TOKEN, proxy=f"http://me:{PASSWORD}@proxy.example/path"),
    "socks-proxy": lambda _: Client(TOKEN, proxy=f"socks://{PASSWORD}@proxy.example"),
    "profile-proxy": profile(ENTRY + f'proxy = "http://me:{PASSWORD}@proxy.example/path"\n'),
    "profile-ca-file": profile(ENTRY + 'ca_file = "nowhere.pem"\n'),
    "profile-not-toml": profile(ENTRY + "base_url = x\n"),
    "profile-not-utf-8": profile(ENTRY + "base_url = '\udcff'\n"),
    "profile-token-file": token_file,
    "profile-command": profile(
        f'[profiles.a]\ntoken_command = ["sh", "-c", "echo {TOKEN} x; exit 3"]\n'
    ),
}


@each("make", WRONG)
def test_a_wrong_setting_shows_no_token(make: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(tmp_path)
    assert TOKEN not in f"{caught.value!r} {caught.value}"
    assert PASSWORD not in f"{caught.value!r} {caught.value}"
    assert_hidden(caught.value)


def test_a_client_that_failed_to_construct_has_a_repr() -> None:
    assert repr(object.__new__(Client)) == "<Client, not made>"


# Credentials that cannot be stored

RESULT = CommunicationConfig(
    mqtt_host="h",
    mqtt_port=1883,
    mqtt_protocol=MQTTProtocol("MQTT"),
    mqtt_credentials=MQTTCredentials(username="u", password=PASSWORD),
)


async def test_credentials_that_meet_a_full_disk_show_nothing(tmp_path: Path) -> None:
    file = CredentialsFile(tmp_path / "credentials")
    async with file:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file._descriptor)
        os.close(full)
        with pytest.raises(OSError, match="No space left") as caught:
            await file.store(CONFIG, RESULT)
    assert_hidden(caught.value)


async def test_credentials_that_cannot_be_written_as_text_show_nothing(tmp_path: Path) -> None:
    unwritable: Any = object()
    async with CredentialsFile(tmp_path / "credentials") as file:
        with pytest.raises(TypeError) as caught:
            await file.store(CONFIG, attrs.evolve(RESULT, mqtt_port=unwritable))
    assert_hidden(caught.value)


async def test_a_sink_that_fails_shows_nothing_in_a_jobs_errors(server: FaultServer) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async with open_rig("direct", server, retry=attempts(1)) as rig:
        report = await fleet.apply(rig.client, [CONFIG], credentials=full)
    (lost,) = report.unknowns
    for error in (lost.error, report.stopped):
        assert error is not None
        assert_hidden(error)

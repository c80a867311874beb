"""Credentials exist only in one answer: everything that arrived is kept, and nothing is shown."""

import copy
import json
import pickle
from typing import Any, ClassVar

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async.concealment import RawAnswer
from enapter_async.errors import AmbiguousOutcomeError, ResultDiffersError, ResultLostError
from enapter_async.models.configs import CommunicationConfig
from enapter_async.operations.devices import GenerateConfig
from tests.support.kinds import each
from tests.support.replies import answer, head, html, raw
from tests.support.rig import CONFIG, UPDATE, TransportKind, attempts, open_rig
from tests.support.secrets import shown
from tests.support.server import FaultServer, applied

KEY = "KEY-SECRET"
CONFIGURATION: dict[str, Any] = {
    "mqtt_host": "mqtt.example.com",
    "mqtt_port": 8883,
    "mqtt_protocol": "MQTTS",
    "mqtt_credentials": {"private_key": KEY, "certificate": "c", "ca_chain": "ca"},
    "time_sync_protocol": "HTTP",
    "time_sync_host": "127.0.0.1",
    "time_sync_port": 80,
    "hardware_id": "h",
    "channel_id": "ucm",
}
MINT = GenerateConfig(device_id="dev-1", protocol="MQTTS")


def varied(**fields: Any) -> dict[str, Any]:
    """Return the configuration with other fields; `...` omits one."""
    found = CONFIGURATION | fields
    return {name: value for name, value in found.items() if value is not ...}


UNAMBIGUOUS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "port-8883.0": (varied(mqtt_port=8883.0), "application/json", {"mqtt_port": 8883}),
    "port-as-text": (varied(mqtt_port="8883"), "application/json", {"mqtt_port": 8883}),
    "mqtt_post": (varied(mqtt_port=..., mqtt_post=8883), "application/json", {"mqtt_port": 8883}),
    "null-and-mqtt_post": (
        varied(mqtt_port=None, mqtt_post=8883),
        "application/json",
        {"mqtt_port": 8883},
    ),
    "both-names": (varied(mqtt_post=1), "application/json", {"mqtt_port": 8883}),
    "numeric-channel": (varied(channel_id=5), "application/json", {"channel_id": "5"}),
    "numeric-hardware": (varied(hardware_id=17), "application/json", {"hardware_id": "17"}),
    "empty-sync-port": (varied(time_sync_port=""), "application/json", {"time_sync_port": None}),
    "no-hardware": (varied(hardware_id=...), "application/json", {"hardware_id": None}),
    "protocol-in-lower-case": (varied(mqtt_protocol="mqtts"), "application/json", {}),
    "plain-text": (varied(), "text/plain; charset=utf-8", {}),
    "octets": (varied(), "application/octet-stream", {}),
}
WRAPPED = {name: ({"config": body}, *rest) for name, (body, *rest) in UNAMBIGUOUS.items()}
WRAPPED["no-envelope"] = (varied(), "application/json", {"mqtt_host": "mqtt.example.com"})
WRAPPED["more-beside"] = (
    {"config": varied(), "device_id": "d", "slug": "s"},
    "application/json",
    {},
)
UNREADABLE: dict[str, tuple[Any, str]] = {
    "no-port": (varied(mqtt_port=...), "config.mqtt_port is missing"),
    "port-8883.5": (varied(mqtt_port=8883.5), "config.mqtt_port: expected a port number"),
    "sync-port--1": (varied(time_sync_port=-1), "config.time_sync_port: expected a port number"),
    "channel-true": (varied(channel_id=True), "config.channel_id: expected a string"),
    "no-host": (varied(mqtt_host=...), "config.mqtt_host is missing"),
    "chain-as-list": (
        varied(mqtt_credentials={"private_key": KEY, "certificate": "c", "ca_chain": ["a"]}),
        "config.mqtt_credentials.ca_chain: expected a string, got a list",
    ),
    "no-certificate": (
        varied(mqtt_credentials={"private_key": KEY}),
        "config.mqtt_credentials.certificate is missing",
    ),
    "text": (f"see {KEY}", "config: expected an object, got a string"),
}


@each("case", WRAPPED)
async def test_unambiguous_spellings_are_read(
    case: tuple[Any, str, dict[str, Any]], server: FaultServer
) -> None:
    body, media_type, expected = case
    server.script(applied(answer(200, body, media_type=media_type)))
    async with open_rig("direct", server) as rig:
        config = await rig.run(MINT)
    assert isinstance(config, CommunicationConfig)
    assert config.mqtt_credentials.private_key == KEY  # type: ignore[union-attr]  # MQTTS was asked for
    assert {name: getattr(config, name) for name in expected} == expected


async def test_a_configuration_for_a_new_protocol_is_kept_in_the_error(server: FaultServer) -> None:
    server.script(applied(answer(200, {"config": varied(mqtt_protocol="MQTTS_V5")})))
    async with open_rig("direct", server) as rig:
        error = await rig.fails(MINT)
    assert isinstance(error, ResultDiffersError)
    assert error.result.mqtt_credentials.private_key == KEY
    assert KEY not in str(error) + repr(error)


@each("case", UNREADABLE)
async def test_an_unreadable_configuration_is_kept_and_not_shown(
    case: tuple[Any, str], server: FaultServer
) -> None:
    body, reason = case
    server.script(applied(answer(200, {"config": body})))
    async with open_rig("direct", server) as rig:
        error = await rig.fails(MINT)
    assert type(error) is ResultLostError
    assert f"but its response is lost: HTTP 200, but {reason}" in str(error)
    assert error.hint.endswith(
        "a line with `raw`. Check the device before you send it again, because that would do it a "
        "second time."
    )
    assert error.answer is not None
    assert json.loads(error.answer.reveal()) == {"config": body}
    assert KEY not in shown(error)
    assert KEY.encode() not in pickle.dumps(error)
    assert pickle.loads(pickle.dumps(error)).answer.reveal() == b""  # noqa: S301 - our own bytes
    assert copy.deepcopy(error.answer) is error.answer


async def test_half_of_an_answer_is_kept_too(transport: TransportKind, server: FaultServer) -> None:
    half = json.dumps({"config": CONFIGURATION}).encode()[:-40]
    typed = ("Content-Type", "application/json")
    server.script(applied(raw(head(200, typed, ("Content-Length", "900")) + half, "fin")))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(MINT)
    assert isinstance(error, ResultLostError)
    assert error.answer is not None
    assert error.answer.reveal() == half


async def test_a_received_answer_is_not_requested_again_even_if_allowed(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(answer(200, {"config": varied(mqtt_host=...)})))
    again = RetryPolicy(attempts=3, on_ambiguous="regenerate")
    async with open_rig(transport, server, retry=again) as rig:
        error = await rig.fails(MINT)
    assert isinstance(error, ResultLostError)
    assert error.answer is not None
    assert len(server.world.effects) == 1


@attrs.frozen(kw_only=True)
class MintForOne(GenerateConfig):
    """Accepts only a configuration for one channel."""

    kind: ClassVar[str] = "tested.mint_for_one"

    def accepts(self, result: CommunicationConfig) -> bool:
        return result.channel_id == "mine"


@each(
    "case",
    {
        "about-another": (MintForOne(device_id="dev-1", protocol="MQTTS"), "application/json"),
        "labelled-as-a-page": (MINT, "text/html"),
    },
)
async def test_an_answer_about_another_device_or_a_page_is_kept_too(
    case: tuple[Any, str], server: FaultServer
) -> None:
    operation, media_type = case
    server.script(applied(answer(200, {"config": CONFIGURATION}, media_type=media_type)))
    async with open_rig("direct", server) as rig:
        error = await rig.fails(operation)
    assert type(error) is AmbiguousOutcomeError
    assert error.answer is not None
    assert json.loads(error.answer.reveal()) == {"config": CONFIGURATION}
    assert KEY not in shown(error)


@each("fault", {"page": html(200), "nothing": answer(200, None), "envelope": answer(200, {})})
async def test_a_page_or_an_empty_answer_holds_nothing_to_keep(
    transport: TransportKind, fault: Any, server: FaultServer
) -> None:
    server.always(applied(fault))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        error = await rig.fails(CONFIG)
        assert isinstance(error, AmbiguousOutcomeError)
        assert error.answer is None or error.answer.reveal() == b"{}"
        lost = await rig.fails(UPDATE)
    assert getattr(lost, "answer", None) is None


def test_a_raw_answer_shows_only_its_size() -> None:
    told = RawAnswer(KEY.encode())
    assert repr(told) == str(told) == f"<RawAnswer of {len(KEY)} bytes>"
    assert KEY not in f"{told} {told!r} {vars(type(told))}"

import copy
import json
import pickle
from typing import assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.models.blueprints import BlueprintView
from enapter_async.models.commands import CommandResponseState, ExecutionsOrder, ExecutionState
from enapter_async.models.configs import MQTTProtocol, TimeSyncProtocol
from enapter_async.models.devices import (
    AccessRole,
    CommunicationType,
    ConnectivityStatus,
    DeviceType,
)
from enapter_async.models.enumerations import OpenEnum
from enapter_async.models.logs import LogSeverity, LogsOrder, LogsShow
from enapter_async.models.rules import RuleEngineState, RuleRuntimeVersion, RuleState
from enapter_async.models.telemetry import Aggregation, DataType, GapFillingMethod

# As on the API page; the values that live servers were seen to add are at the end.
PAGE: dict[type[OpenEnum], list[str]] = {
    DeviceType: [
        *("STANDALONE", "GATEWAY", "EMBEDDED_UCM", "HARDWARE_UCM", "VIRTUAL_UCM"),
        *("LINK_MASTER_UCM", "LINK_SLAVE_UCM", "LUA", "NATIVE"),
        *("CHILD", "UNDEFINED_DEVICE_TYPE"),
    ],
    AccessRole: ["READONLY", "USER", "OWNER", "INSTALLER", "VENDOR", "SYSTEM"],
    CommunicationType: [
        *("MQTT_V1_PLAINTEXT", "MQTT_V1_TLS", "MQTT_V1_LOCALHOST"),
        *("UCM_LUA", "UCM_EMBEDDED", "LINK"),
    ],
    ConnectivityStatus: ["UNKNOWN", "ONLINE", "OFFLINE"],
    MQTTProtocol: ["MQTT", "MQTTS"],
    TimeSyncProtocol: ["NTP", "HTTP"],
    ExecutionState: ["NEW", "IN_PROGRESS", "SUCCESS", "ERROR", "TIMEOUT", "UNSYNC"],
    CommandResponseState: ["STARTED", "IN_PROGRESS", "SUCCEEDED", "ERROR"],
    BlueprintView: ["ORIGINAL", "COMPILED"],
    LogSeverity: ["DEBUG", "INFO", "WARNING", "ERROR"],
    LogsOrder: ["RECEIVED_AT_ASC", "RECEIVED_AT_DESC"],
    LogsShow: ["ALL", "PERSISTED_ONLY", "TEMPORARY_ONLY"],
    RuleEngineState: ["ACTIVE", "SUSPENDED"],
    RuleState: ["STARTED", "STOPPED"],
    RuleRuntimeVersion: ["V1", "V3"],
    ExecutionsOrder: ["CREATED_AT_ASC", "CREATED_AT_DESC"],
    Aggregation: ["AUTO", "AVG", "LAST", "MIN", "MAX", "BOOL_OR"],
    GapFillingMethod: ["NONE", "LOCF"],
    DataType: ["FLOAT", "INTEGER", "STRING", "STRING_ARRAY", "BOOLEAN"],
}
MEMBERS = [(kind, name) for kind, names in PAGE.items() for name in names]
KINDS = st.sampled_from(list(PAGE))


def test_every_enumeration_is_listed_here() -> None:
    assert set(PAGE) == set(OpenEnum.__subclasses__())


@pytest.mark.parametrize("kind", PAGE)
def test_the_known_values_are_those_of_the_api_page(kind: type[OpenEnum]) -> None:
    assert PAGE[kind] == list(kind.known())


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_known_value_is_one_object_in_any_case(kind: type[OpenEnum], name: str) -> None:
    member = getattr(kind, name)
    for spelling in (name, name.lower(), name.title(), member):
        assert kind(spelling) is member
    assert member == name
    assert hash(member) == hash(name)
    assert isinstance(member, kind)


@given(kind=KINDS, text=st.text())
def test_an_unknown_value_is_kept_and_equals_its_string(kind: type[OpenEnum], text: str) -> None:
    member = kind(text)
    assert isinstance(member, kind)
    if text.upper() not in PAGE[kind]:
        assert member == text
        assert hash(member) == hash(text)
        assert member not in kind.known()


@given(kind=KINDS, text=st.text() | st.sampled_from([name for _, name in MEMBERS]))
def test_members_survive_copies_and_pickles(kind: type[OpenEnum], text: str) -> None:
    member = kind(text)
    for twin in (copy.copy(member), copy.deepcopy(member), pickle.loads(pickle.dumps(member))):  # noqa: S301  # our own bytes
        assert twin == member
        assert type(twin) is kind


def test_a_member_is_a_string() -> None:
    assert json.dumps({"type": DeviceType.LUA}) == '{"type": "LUA"}'
    assert f"{DeviceType.LUA}" == "LUA"
    counts: dict[str, int] = {DeviceType.LUA: 1}
    assert counts["LUA"] == 1
    assert sorted([DeviceType.NATIVE, DeviceType.LUA]) == ["LUA", "NATIVE"]


def test_members_hold_no_dictionary_of_their_own() -> None:
    assert not any(hasattr(getattr(kind, name), "__dict__") for kind, name in MEMBERS)


def test_type_checkers_know_a_member() -> None:
    assert_type(DeviceType.LUA, DeviceType)
    assert_type(DeviceType("lua"), DeviceType)

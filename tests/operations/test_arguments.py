import itertools
import re
import traceback
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.client import Client
from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.operations import arguments
from enapter_async.operations.commands import ListExecutions
from enapter_async.operations.device_arguments import EXPANDABLE
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from enapter_async.operations.provisioning import ProvisionStandalone
from enapter_async.operations.rules import GetRule, RenameRule

GOOD_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True)
# Each of these made a naive client use another address or another device.
BAD_ADDRESSES = [
    *("", ".", "..", "../sites/1", "a/b", "a\\b", "a\nb", "a\n", " a", "a ", "%2e%2e", "a%2fb"),
    *("\ud800", "\x00", "a\u202e", "a" * 1025),
]
# A slug may be like this, but not an id.
GOOD_SLUGS = [
    *("UPPER Case", "Größe 1", "é", "a#f", "a?b=c", "-a", "_a", "a.b", "a:b", "...", "a" * 1024),
    *("=1+1", "\u2024\u2024", "\uff11"),
]
BAD_IDS = [*BAD_ADDRESSES, *GOOD_SLUGS]
NO_STRINGS: list[Any] = [None, 5, True, b"a", ["a"], {"a": 1}, uuid.UUID(int=1)]
ADDRESS_FIELDS: list[tuple[str, Any]] = [
    ("device_id", lambda bad: GetDevice(device_id=bad)),
    ("device_id", lambda bad: UpdateDevice(device_id=bad, name="n")),
    ("device_id", lambda bad: DeleteDevice(device_id=bad)),
    ("device_id", lambda bad: GenerateConfig(device_id=bad, protocol="MQTT")),
    ("device_id", lambda bad: AssignBlueprint(device_id=bad, blueprint_id="b")),
    ("rule_id", lambda bad: GetRule(rule_id=bad)),
]
SLUG_FIELDS: list[tuple[str, Any]] = [
    ("slug", lambda bad: UpdateDevice(device_id="a", name="n", slug=bad or ".")),
    ("slug", lambda bad: RenameRule(rule_id="a", slug=bad)),
    ("slug", lambda bad: ProvisionStandalone(name="n", slug=bad)),
]
ID_FIELDS: list[tuple[str, Any]] = [
    ("device_ids", lambda bad: ListExecutions(site_id="s", device_ids=[bad])),
    ("blueprint_id", lambda bad: AssignBlueprint(device_id="a", blueprint_id=bad)),
]
SITE_FIELD: tuple[str, Any] = ("site_id", lambda bad: ListDevices(site_id=bad))


@pytest.mark.parametrize(("field", "build"), [*ADDRESS_FIELDS, *SLUG_FIELDS])
def test_an_address_that_could_leave_its_path_segment_is_refused(field: str, build: Any) -> None:
    for bad in BAD_ADDRESSES:
        with pytest.raises(ConfigurationError, match=f"^{field} must be 1 to 1024 printable"):
            build(bad)
    for good in GOOD_SLUGS:
        assert getattr(build(good), field) == good


@pytest.mark.parametrize(("field", "build"), [*ID_FIELDS, SITE_FIELD])
@pytest.mark.parametrize("bad", BAD_IDS)
def test_an_id_that_could_leave_its_path_segment_is_refused(
    field: str, build: Any, bad: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{field} must be 1 to 128 letters"):
        build(bad)


@pytest.mark.parametrize(("field", "build"), [*ADDRESS_FIELDS, *ID_FIELDS])
@pytest.mark.parametrize("bad", NO_STRINGS)
def test_an_id_that_is_not_a_string_is_refused(field: str, build: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{field} .* type {type(bad).__name__}$"):
        build(bad)


@given(good=GOOD_IDS)
def test_a_good_id_is_kept(good: str) -> None:
    assert GetDevice(device_id=good).device_id == good


@given(text=st.text(max_size=140))
def test_no_other_text_is_accepted_as_an_id(text: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", text):
        return
    with pytest.raises(ConfigurationError):
        ListDevices(site_id=text)


@given(value=st.text() | st.text(min_size=200, max_size=300) | st.binary() | st.integers())
def test_a_message_shortens_a_value_and_shows_plain_characters(value: object) -> None:
    shown = arguments.shown(value)
    assert shown.isascii()
    assert shown.isprintable()
    # 60 characters, each up to 10 when escaped (\U0010ffff), the quotes and the length.
    assert len(shown) <= 60 * 10 + 40


def test_a_message_shows_the_start_of_a_long_value() -> None:
    assert arguments.shown("x" * 100) == "'" + "x" * 60 + "'... (100 characters)"
    assert arguments.shown("x" * 60) == "'" + "x" * 60 + "'"
    assert arguments.shown("a\x1b[31m\n") == r"'a\x1b[31m\n'"


@pytest.mark.parametrize("bad", ["a\x00b", "\ud800", "\udfffx", "x" * 1025, 5, True, b"a", ["a"]])
def test_text_invalid_in_json_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^name must be None or at most 1024"):
        UpdateDevice(device_id="a", name=bad)


@given(good=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_other_text_is_kept(good: str) -> None:
    assert UpdateDevice(device_id="a", name=good).name == good
    assert UpdateDevice(device_id="a", name="ü" * 1024).name == "ü" * 1024


@given(slug=st.text())
def test_every_slug_that_can_be_set_can_be_an_address(slug: str) -> None:
    try:
        update = UpdateDevice(device_id="a", slug=slug)
    except ConfigurationError:
        with pytest.raises(ConfigurationError, match=r"^device_id must be 1 to 1024 printable"):
            GetDevice(device_id=slug)
    else:
        read = update.reads_moved()
        assert (read is None) is not bool(slug)
        assert read is None or read.device_id == slug


@pytest.mark.parametrize("bad", [-1, 2**63, 10**40, True, False, 1.0, "1", None, float("nan")])
def test_a_bad_offset_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^offset must be "):
        ListDevices(offset=bad)


@pytest.mark.parametrize("bad", [0, -1, 51, 10**40, True, False, 50.0, "50", None])
def test_a_bad_limit_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^limit must be "):
        ListDevices(limit=bad)


def test_the_message_of_a_bad_number_says_what_would_be_right() -> None:
    with pytest.raises(ConfigurationError, match=r"^limit must be 1 to 50; got 51$"):
        ListDevices(limit=51)
    with pytest.raises(ConfigurationError, match=r"got a number far out of range$"):
        ListDevices(limit=10**5000)


@pytest.mark.parametrize(("offset", "limit"), [(0, 1), (0, 50), (2**63 - 1, 25)])
def test_valid_pages_are_kept(offset: int, limit: int) -> None:
    page = ListDevices(offset=offset, limit=limit)
    assert (page.offset, page.limit) == (offset, limit)


@pytest.mark.parametrize("build", [lambda e: GetDevice(device_id="a", expand=e), ListDevices])
@pytest.mark.parametrize(
    "bad", ["manifest", "", ["Manifest"], ["manifest,site"], ["x"], [5], [None], 5, None, b"site"]
)
def test_a_bad_expand_is_refused(build: Any, bad: Any) -> None:
    make = build if build is not ListDevices else lambda e: ListDevices(expand=e)
    with pytest.raises(ConfigurationError, match=r"^expand (must|may) .*raised_alert_names"):
        make(bad)


@given(names=st.lists(st.sampled_from(EXPANDABLE)))
def test_expand_takes_any_iterable_and_keeps_each_name_once(names: list[str]) -> None:
    expected = tuple(dict.fromkeys(names))
    given: list[Any] = [names, tuple(names), iter(names), dict.fromkeys(names)]
    for iterable in given:
        assert GetDevice(device_id="a", expand=iterable).expand == expected


@pytest.mark.parametrize(
    "name",
    ["site", "manifest", "properties", "connectivity", "communication", "raised_alert_names"],
)
def test_every_documented_expansion_is_known(name: str) -> None:
    assert ListDevices(expand=[name]).expand == (name,)


@pytest.mark.parametrize("bad", ["", "MQTTSS", "mqtt ", "WS", "MQTT\n", 5, None, True, b"MQTT"])
def test_a_protocol_is_one_of_two(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^protocol must be MQTT or MQTTS; got "):
        GenerateConfig(device_id="a", protocol=bad)


@pytest.mark.parametrize("name", ["mqtt", "mqtts"])
def test_a_protocol_may_be_written_in_any_case(name: str) -> None:
    for spelling in map("".join, itertools.product(*zip(name, name.upper(), strict=True))):
        assert GenerateConfig(device_id="a", protocol=spelling).protocol == name.upper()


def test_an_empty_update_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must set name, slug or both"):
        UpdateDevice(device_id="a")


def test_an_argument_error_has_no_context() -> None:
    with pytest.raises(ConfigurationError) as caught:
        GetDevice(device_id="a/b")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "a/b" in "".join(traceback.format_exception(caught.value))


def test_an_operations_argument_error_differs_from_a_settings() -> None:
    with pytest.raises(ArgumentError):
        GetDevice(device_id="a/b")
    with pytest.raises(ConfigurationError) as caught:
        Client("token", base_url="ftp://example.org")
    assert not isinstance(caught.value, ArgumentError)

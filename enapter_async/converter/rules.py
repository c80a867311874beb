"""All cattrs rules of the package: leaf types first, then the types composed of them.

Two converters have the same rules. `quick` reads and writes; `exact` is used only after `quick`
has failed, and records the path to the value that did not fit.
"""

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from enapter_async.converter.leaves import (
    JSONObject,
    Mismatch,
    Step,
    as_it_is,
    base64_text,
    boolean,
    integer,
    is_mapping,
    json_object,
    mapping_hook,
    mismatch,
    moment,
    nothing,
    number,
    optional_coordinate,
    optional_label,
    optional_moment,
    optional_port,
    optional_string,
    port,
    string,
)
from enapter_async.models.configs import (
    CommunicationConfig,
    MQTTCredentials,
    MQTTProtocol,
    MQTTSCredentials,
)
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.models.devices import (
    Communication,
    CommunicationType,
    Connectivity,
    ConnectivityStatus,
    Device,
)
from enapter_async.models.enumerations import OpenEnum
from enapter_async.models.rules import RuleScript
from enapter_async.models.sites import SiteLocation
from enapter_async.text import rfc3339

Hook = Callable[[Any, Any], Any]


# --- enumerations ----------------------------------------------------------------------

# The API page itself writes this one both ways.
_MISSPELT: Final = {"UCM_EMBBEDED": CommunicationType.UCM_EMBEDDED}


def _enumeration(value: Any, kind: Any) -> OpenEnum:
    """Read a member in any case, or keep an unknown value."""
    if isinstance(value, str):
        member: OpenEnum = kind(value)
        return member
    raise mismatch("a string", value)


def _communication_type(value: Any, kind: Any) -> OpenEnum:
    member = _enumeration(value, kind)
    return _MISSPELT.get(member.upper(), member)


def _connectivity_status(value: Any, _: Any) -> ConnectivityStatus:
    """Read a status; return `UNKNOWN` if it is missing, null or empty."""
    if value is None or value == "":
        return ConnectivityStatus.UNKNOWN
    return ConnectivityStatus(string(value, _))


# --- optional values, lists, objects ---------------------------------------------------


def _is_optional(kind: Any) -> bool:
    return (
        get_origin(kind) in (UnionType, Union)
        and NoneType in (members := get_args(kind))
        and len(members) == 2
    )


def _optional_hook(kind: Any, converter: Converter) -> Hook:
    (inner,) = (member for member in get_args(kind) if member is not NoneType)
    read_inner = converter.get_structure_hook(inner)

    def read(value: Any, _: Any) -> Any:
        return None if value is None else read_inner(value, inner)

    return read


def _is_optional_enumeration(kind: Any) -> bool:
    if not _is_optional(kind):
        return False
    return any(isinstance(each, type) and issubclass(each, OpenEnum) for each in get_args(kind))


def _optional_enumeration_hook(kind: Any, converter: Converter) -> Hook:
    """Read a member, or None if it is missing, null or empty."""
    (inner,) = (member for member in get_args(kind) if member is not NoneType)
    read_inner = converter.get_structure_hook(inner)
    quick: dict[Any, Any] = {
        "": None,
        None: None,
        **{str(member): member for member in inner.known()},
    }

    def read(value: Any, _: Any) -> Any:
        try:
            return quick[value]
        except (KeyError, TypeError):
            return read_inner(value, inner)

    return read


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,)


def _tuple_hook(kind: Any, converter: Converter) -> Hook:
    inner = get_args(kind)[0]
    read_inner = converter.get_structure_hook(inner)

    def read(value: Any, _: Any) -> tuple[Any, ...]:
        if isinstance(value, list):
            return tuple([read_inner(item, inner) for item in value])
        if value is None:
            return ()
        raise mismatch("a list", value)

    def read_exactly(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            return read(value, _)
        items = []
        for index, item in enumerate(value):
            try:
                items.append(read_inner(item, inner))
            except Exception as error:
                error.add_note(Step(f"[{index}]"))
                raise
        return tuple(items)

    return read_exactly if converter.detailed_validation else read


def _plain_config(data: JSONObject) -> JSONObject:
    """Determine the protocol, and add it to the credentials, whose class depends on it."""
    credentials = data.get("mqtt_credentials")
    if not isinstance(credentials, dict):
        return data
    protocol = (
        data.get("mqtt_protocol") or credentials.get("protocol") or _protocol_by_shape(credentials)
    )
    if not protocol:
        problem = Mismatch("is missing, and the credentials do not reveal it")
        problem.add_note(Step(".mqtt_protocol"))
        raise problem
    return {
        **data,
        "mqtt_protocol": protocol,
        "mqtt_credentials": {**credentials, "protocol": protocol},
    }


_OLD_NAMES: Final[Mapping[type, tuple[str, str]]] = {
    Device: ("communication", "communication_info"),
    Communication: ("type", "communication_type"),
    CommunicationConfig: ("mqtt_port", "mqtt_post"),
}
"""Other names of a field, used by some servers or the API page if the field itself is missing
or null."""
_OWN_HOOKS: Final[Mapping[type, Mapping[str, Hook]]] = {
    RuleScript: {"code": base64_text},
    SiteLocation: {"latitude": optional_coordinate, "longitude": optional_coordinate},
    CommunicationConfig: {
        "mqtt_port": port,
        "time_sync_port": optional_port,
        "hardware_id": optional_label,
        "channel_id": optional_label,
    },
}


_OWN_MODELS: Final = Device.__module__.rpartition(".")[0] + "."


def _draft_of(kind: Any) -> Any:
    """Return a subclass that cattrs can fill quickly, for instances that then become `kind`'s.

    The `__init__` of a frozen class takes three times as long as that of one that is not. A class
    from elsewhere may be laid out in another way, so that its instances cannot change their class.
    """
    if not kind.__module__.startswith(_OWN_MODELS):
        return kind
    free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return attrs.make_class(kind.__name__, {}, bases=(kind,), class_body=free, slots=True, eq=False)


def _cattrs_hook(kind: Any, converter: Converter) -> Hook:
    overrides: dict[str, Any] = {
        name: override(struct_hook=hook) for name, hook in _OWN_HOOKS.get(kind, {}).items()
    }
    draft = _draft_of(kind)
    build = make_dict_structure_fn(draft, converter, **overrides)
    name, old = _OLD_NAMES.get(kind, (None, None))

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise mismatch("an object", value)
        if old in value and value.get(name) is None:
            value = {**value, name: value[old]}
        built = build(value)
        if draft is not kind:
            built.__class__ = kind
        return built

    return read


def _class_hook(kind: Any, converter: Converter) -> Hook:
    read = _cattrs_hook(kind, converter)
    if kind is not CommunicationConfig:
        return read

    def read_config(value: Any, _: Any) -> Any:
        return read(_plain_config(value) if isinstance(value, dict) else value, _)

    return read_config


def _connectivity_hook(kind: Any, converter: Converter) -> Hook:
    read_object = _class_hook(kind, converter)

    def read(value: Any, _: Any) -> Any:
        """Read the object, or the plain string that older servers write."""
        if isinstance(value, str):
            return Connectivity(status=_connectivity_status(value, _))
        return read_object(value, kind)

    return read


def _values_hook(_: Any, __: Converter) -> Hook:
    return lambda value, kind: ConfigurationValues(json_object(value, kind))


def _script_hook(kind: Any, converter: Converter) -> Hook:
    read_object = _class_hook(kind, converter)

    def read(value: Any, _: Any) -> Any:
        """Read a script: `code` of the API is base64, `text` as the package writes it is not."""
        if isinstance(value, dict) and "text" in value:
            value = {**value, "code": RuleScript(code=string(value["text"], _)).encoded}
        return read_object(value, kind)

    return read


def _script_unstructure_hook(kind: Any, converter: Converter) -> Callable[[Any], JSONObject]:
    code = override(rename="text", omit_if_default=False)
    return make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, code=code)


# --- credentials -----------------------------------------------------------------------

_Credentials = MQTTCredentials | MQTTSCredentials


def _protocol_by_shape(credentials: JSONObject) -> str | None:
    """Return the protocol by the keys of the credentials, for servers that do not name it."""
    is_mqtt = bool(credentials.get("username") or credentials.get("password"))
    is_mqtts = bool(credentials.get("private_key"))
    if is_mqtt is is_mqtts:
        return None
    return MQTTProtocol.MQTTS if is_mqtts else MQTTProtocol.MQTT


def _credentials_hook(_: Any, converter: Converter) -> Hook:
    classes: dict[str, type[_Credentials]] = {
        MQTTProtocol.MQTT: MQTTCredentials,
        MQTTProtocol.MQTTS: MQTTSCredentials,
    }
    hooks = {kind: converter.get_structure_hook(kind) for kind in classes.values()}

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise mismatch("an object", value)
        said = value.get("protocol")
        protocol = MQTTProtocol(string(said, _)) if said else None
        # An unknown protocol does not determine the class. The credentials exist only in this
        # answer, so they are read anyway if their keys are unambiguous.
        kind = classes.get(protocol or "") or classes.get(_protocol_by_shape(value) or "")
        if kind is None:
            raise Mismatch("cannot be told apart: the protocol is missing or unknown")
        return hooks[kind](value, kind)

    return read


# --- the converters --------------------------------------------------------------------

_Rules = tuple[tuple[Callable[[Any], bool], Callable[[Any, Converter], Callable[..., Any]]], ...]


def _is_dict(kind: Any) -> bool:
    return kind is dict or get_origin(kind) is dict


def _items_hook(_: Any, converter: Converter) -> Callable[[Any], list[Any]]:
    return lambda items: [converter.unstructure(item) for item in items]


def _class_unstructure_hook(kind: Any, converter: Converter) -> Callable[[Any], JSONObject]:
    # Fields that the server left out are not written, except for a status.
    said: dict[str, Any] = {}
    if kind is Connectivity:
        said["status"] = override(omit_if_default=False)
    return make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, **said)


def _make_converter(*, detailed_validation: bool) -> Converter:
    converter = Converter(detailed_validation=detailed_validation)
    # A rule for a leaf applies to its subclasses too, unless they have their own, and takes
    # precedence over factories; of two factories for a type, the later one is used.
    leaves: tuple[tuple[Any, Hook], ...] = (
        (str, string),
        (OpenEnum, _enumeration),
        (CommunicationType, _communication_type),
        (ConnectivityStatus, _connectivity_status),
        (bool, boolean),
        (int, integer),
        (float, number),
        (datetime, moment),
        (NoneType, nothing),
    )
    for kind, hook in leaves:
        converter.register_structure_hook(kind, hook)
    reading: _Rules = (
        (_is_dict, lambda *_: json_object),
        (is_mapping, mapping_hook),
        (_is_tuple, _tuple_hook),
        (attrs.has, _class_hook),
        (lambda kind: kind is Connectivity, _connectivity_hook),
        (lambda kind: kind == _Credentials, _credentials_hook),
        (lambda kind: kind is ConfigurationValues, _values_hook),
        (lambda kind: kind is RuleScript, _script_hook),
        (_is_optional, _optional_hook),
        (_is_optional_enumeration, _optional_enumeration_hook),
        (lambda kind: kind == (datetime | None), lambda *_: optional_moment),
        (lambda kind: kind == (str | None), lambda *_: optional_string),
    )
    for is_meant, make_hook in reading:
        converter.register_structure_hook_factory(is_meant, make_hook)
    converter.register_unstructure_hook(datetime, rfc3339)
    converter.register_unstructure_hook(OpenEnum, str)
    writing: _Rules = (
        (_is_dict, lambda *_: as_it_is),
        (lambda kind: kind is tuple or _is_tuple(kind), _items_hook),
        (attrs.has, _class_unstructure_hook),
        (lambda kind: kind is ConfigurationValues, lambda *_: dict),
        (lambda kind: kind is RuleScript, _script_unstructure_hook),
    )
    for is_meant, make_hook in writing:
        converter.register_unstructure_hook_factory(is_meant, make_hook)
    return converter


quick: Final = _make_converter(detailed_validation=False)


@functools.cache
def exact() -> Converter:
    """Return the converter that records paths, which is made when it is first needed."""
    return _make_converter(detailed_validation=True)

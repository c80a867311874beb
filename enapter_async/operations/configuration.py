"""The operations on the configuration of a device: one group of parameters at a time.

Which groups and parameters there are is in the device's manifest; a plan checks against it whatever
it can before anything is sent.

Source: API page, "Device Configuration".
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.concealment import Secret
from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.models.devices import Device
from enapter_async.models.manifest import ConfigurationGroup, Manifest
from enapter_async.operation import MIB, Answer, Operation, Repeat, RequestParts, Target
from enapter_async.operations import arguments
from enapter_async.operations.devices import PROOF
from enapter_async.operations.on_device import OnDevice, too_low

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_REFERENCE: Final = re.compile(r"(env|file):(.+)")
_MISSING: Final = object()
_LONGEST_SECRET: Final = 64 * 1024


def _named(field: str, value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ArgumentError(
        f"{field} must be a name of letters, digits and '_' that begins with a letter; got"
        f" {arguments.shown(value)}"
    )


def _group(value: str) -> str:
    return _named("group", value)


def _names(field: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArgumentError(f"{field} must be a list of names; got {arguments.shown(values)}")
    return tuple(dict.fromkeys(_named(f"each name in {field}", each) for each in values))


def _param_names(values: Iterable[str]) -> tuple[str, ...]:
    return _names("names", values)


def _reset(values: Iterable[str]) -> tuple[str, ...]:
    return _names("reset", values)


def _values(field: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return names and values that JSON can carry; no value is shown in an error."""
    if not isinstance(values, Mapping):
        raise ArgumentError(f"{field} must be an object; got {arguments.shown(values)}")
    checked = {_named(f"each name in {field}", name): value for name, value in values.items()}
    for name, value in checked.items():
        try:
            json.dumps(value, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise ArgumentError(f"{field}.{name} is no value that JSON can carry") from None
    return checked


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    checked = _values("set", values)
    for name, value in checked.items():
        if value is None:
            raise ArgumentError(f"set.{name} is null; name it in reset to take its value away")
    return checked


def _defaults(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else _values("defaults", values)


def _secrets(values: Mapping[str, Any]) -> dict[str, Secret | str]:
    if not isinstance(values, Mapping):
        raise ArgumentError(f"secrets must be an object; got {arguments.shown(values)}")
    for name, value in values.items():
        _named("each name in secrets", name)
        reference = isinstance(value, str) and _REFERENCE.fullmatch(value)
        if not reference and not isinstance(value, Secret):
            raise ArgumentError(
                f"secrets.{name} must say where the value is: env:VARIABLE or file:PATH"
            )
    return dict(values)


def _revealed(name: str, value: Secret | str) -> Any:
    """Return a sensitive value: its own, or the text to which it refers."""
    if isinstance(value, Secret):
        return json.loads(value.reveal())
    kind, _, place = value.partition(":")
    if kind == "env":
        text = os.environ.get(place)
        if not text:
            raise ConfigurationError(f"{name} needs the environment variable {place}, not set here")
        return text
    try:
        with Path(place).open(encoding="utf-8") as file:
            text = file.read(_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{name} needs {place}, which cannot be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: numbers by value, and no number is a boolean."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _hidden(values: Mapping[str, Any]) -> str:
    """Return the names of values, any of which may be sensitive."""
    return f"{{{', '.join(f'{name}: …' for name in values)}}}"


class _OnGroup(OnDevice[T]):
    """An operation on one group of a device's configuration."""

    __slots__ = ()

    proof: ClassVar[Operation[Any] | None] = PROOF

    group: str

    def target(self) -> Target:
        """Return the group, as a part of the device."""
        return super().target()._replace(part=f"configuration.{self.group}")

    def accepts(self, result: Any) -> bool:
        """Return True: an answer does not say which device it is about."""
        return True

    def _declared(self, device: Device) -> ConfigurationGroup | None:
        """Return what the device's manifest says of the group; None if it was not read."""
        if device.manifest is None:
            return None
        return Manifest(device.manifest).configuration.get(self.group)

    def obstacle(self, state: Device) -> str:
        """Return a reason if the device has no such group, or the role is too low, else ""."""
        if state.manifest is None:
            return ""
        declared = self._declared(state)
        if declared is None:
            groups = ", ".join(Manifest(state.manifest).configuration) or "none"
            return f"the device has no configuration group {self.group!r}; it has {groups}"
        return too_low(state.authorized_role, declared.access_level) or self._misfit(declared)

    def _misfit(self, declared: ConfigurationGroup) -> str:
        return ""


@attrs.frozen(kw_only=True)
class GetConfiguration(_OnGroup[ConfigurationValues]):
    """Read the values of a group; `names` are the parameters to read, all if there are none.

    Changes nothing, so it is safe to repeat.

    Source: API page "Device Configuration", `GET devices/{device_id}/configuration/{group}`.
    """

    kind: ClassVar[str] = "configuration.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[ConfigurationValues]] = Answer(
        key="configuration", type=ConfigurationValues, max_bytes=MIB, concealed=True
    )

    group: str = attrs.field(converter=_group)
    names: tuple[str, ...] = attrs.field(default=(), converter=_param_names)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        query = (("param_names", ",".join(self.names)),) if self.names else ()
        return RequestParts("GET", self.path("configuration", self.group), query)


@attrs.frozen(kw_only=True)
class UpdateConfiguration(_OnGroup[ConfigurationValues]):
    """Set parameters of a group, and reset others to their defaults.

    `secrets` are the sensitive parameters to set: "env:VARIABLE" or "file:PATH" says where the text
    of each is when it is sent, so that no plan or journal holds it. `defaults` are the defaults of
    the parameters in `reset`, null for none; a plan adds them from the manifest, and without them
    an uncertain reset can be settled only if the parameter has no value then.

    Sets an absolute state, so it is safe to repeat.

    Source: API page "Device Configuration", `PATCH devices/{device_id}/configuration/{group}`.
    """

    kind: ClassVar[str] = "configuration.update"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[ConfigurationValues]] = GetConfiguration.answer
    plan_expand: ClassVar[tuple[str, ...]] = ("manifest",)

    group: str = attrs.field(converter=_group)
    set: dict[str, Any] = attrs.field(factory=dict, converter=_set, hash=False, repr=_hidden)
    secrets: dict[str, Any] = attrs.field(factory=dict, converter=_secrets, hash=False)
    reset: tuple[str, ...] = attrs.field(default=(), converter=_reset)
    defaults: dict[str, Any] | None = attrs.field(
        default=None, converter=_defaults, hash=False, repr=False
    )

    def __attrs_post_init__(self) -> None:
        named = (*self.set, *self.secrets, *self.reset)
        if not named:
            raise ArgumentError("an update must set or reset a parameter; it names none")
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise ArgumentError(f"{twice} must stand in one of set, secrets and reset, once")

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation.

        Raises:
            ConfigurationError: a sensitive value is not where `secrets` says.
        """
        wanted = {**self.set, **self._revealed()}
        body: dict[str, Any] = {"set": wanted} if wanted else {}
        if self.reset:
            body["reset"] = list(self.reset)
        return RequestParts("PATCH", self.path("configuration", self.group), (), body)

    def _revealed(self) -> dict[str, Any]:
        return {name: _revealed(name, value) for name, value in self.secrets.items()}

    def changes(self) -> dict[str, Any]:
        """Return the values that are not sensitive; None for a parameter to reset without one."""
        defaults = self.defaults or {}
        return {**self.set, **{name: defaults.get(name) for name in self.reset}}

    def claims(self) -> dict[str, Any]:
        """Return the changes, and where sensitive values come from."""
        return {**self.changes(), **self.secrets}

    def holds(self, state: ConfigurationValues | None) -> bool:
        """Return whether each parameter already has its value; sensitive ones are compared, too."""
        if state is None:
            return False
        wanted = {**self.changes(), **self._revealed()}
        return all(
            name not in state if value is None else same(state.get(name, _MISSING), value)
            for name, value in wanted.items()
        )

    def differs(self, result: ConfigurationValues | None) -> str:
        """Return which parameters are not as requested, without any sensitive value."""
        if result is None or self.holds(result):
            return ""
        reset = set(self.reset) - (self.defaults or {}).keys()
        wrong = [
            f"{name} is {result.get(name)!r}, and {value!r} was asked for"
            for name, value in self.changes().items()
            if name not in reset and not same(result.get(name), value)
        ]
        wrong += [
            f"{name} is not as it was asked for"
            for name, value in self._revealed().items()
            if name in result and not same(result[name], value)
        ]
        return "; ".join(wrong)

    def reads(self) -> GetConfiguration:
        """Return the operation that reads the group."""
        return GetConfiguration(device_id=self.device_id, site_id=self.site_id, group=self.group)

    def prepared(self, state: Device) -> "UpdateConfiguration":
        """Return the operation with the defaults of the parameters that it resets.

        Raises:
            ArgumentError: it sets a sensitive parameter openly, and so must not be in any file.
        """
        declared = self._declared(state)
        if declared is None:
            return self
        known = declared.parameters
        for name in self.set:
            if name in known and known[name].sensitive:
                raise ArgumentError(
                    f"{name} is sensitive: say in secrets where its value is (env:VARIABLE or "
                    "file:PATH), so that no file of the job holds it"
                )
        if not self.reset or self.defaults is not None:
            return self
        defaults = {name: known[name].default for name in self.reset if name in known}
        return attrs.evolve(self, defaults=defaults)

    def _misfit(self, declared: ConfigurationGroup) -> str:
        known = declared.parameters
        named = {**self.set, **dict.fromkeys((*self.secrets, *self.reset))}
        unknown = next((name for name in named if name not in known), None)
        if unknown is not None:
            return f"{self.group} has no parameter {unknown!r}; it has {', '.join(known) or 'none'}"
        for name in self.reset:
            if known[name].required and known[name].default is None:
                return f"{name} is required and has no default, so it cannot be reset"
        return declared.problem(self.set)

    def undo(self, before: ConfigurationValues) -> "UpdateConfiguration | None":
        """Return the update that restores the old values, except those of sensitive parameters."""
        names = (*self.set, *self.reset)
        old = {name: before[name] for name in names if before.get(name) is not None}
        gone = tuple(name for name in names if name not in old)
        if not names:
            return None
        return attrs.evolve(self, set=old, secrets={}, reset=gone, defaults=None)


@attrs.frozen(kw_only=True)
class ResetConfiguration(_OnGroup[ConfigurationValues]):
    """Reset all parameters of a group to their defaults; those without one lose their value.

    `defaults` are the values that the group has then, null for none. A plan adds them from the
    manifest; without them an uncertain outcome is settled only if the group is then empty.

    Sets an absolute state, so it is safe to repeat.

    Source: API page "Device Configuration",
    `POST devices/{device_id}/configuration/{group}/reset_all`.
    """

    kind: ClassVar[str] = "configuration.reset"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[ConfigurationValues]] = GetConfiguration.answer
    plan_expand: ClassVar[tuple[str, ...]] = ("manifest",)

    group: str = attrs.field(converter=_group)
    defaults: dict[str, Any] | None = attrs.field(default=None, converter=_defaults, hash=False)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts("POST", self.path("configuration", self.group, "reset_all"))

    def changes(self) -> dict[str, Any]:
        """Return the defaults of the parameters, as far as they are known."""
        return dict(self.defaults or {})

    def holds(self, state: ConfigurationValues | None) -> bool:
        """Return whether each parameter has its default, and no other one has a value."""
        if state is None:
            return False
        wanted = {name: value for name, value in self.changes().items() if value is not None}
        return state.keys() == wanted.keys() and all(
            same(state[name], value) for name, value in wanted.items()
        )

    def differs(self, result: ConfigurationValues | None) -> str:
        """Return "": without the manifest, nothing says what the group should be."""
        if result is None or self.defaults is None or self.holds(result):
            return ""
        return "the group is not as its defaults are"

    def reads(self) -> GetConfiguration:
        """Return the operation that reads the group."""
        return GetConfiguration(device_id=self.device_id, site_id=self.site_id, group=self.group)

    def prepared(self, state: Device) -> "ResetConfiguration":
        """Return the operation with the defaults of the group."""
        declared = self._declared(state)
        if declared is None or self.defaults is not None:
            return self
        known = declared.parameters
        return attrs.evolve(self, defaults={name: each.default for name, each in known.items()})

    def undo(self, before: ConfigurationValues) -> Operation[ConfigurationValues] | None:
        """Return the update that restores the old values."""
        names = self.changes()
        old = {name: before[name] for name in names if before.get(name) is not None}
        gone = tuple(name for name in names if name not in old)
        if not names:
            return None
        return UpdateConfiguration(
            device_id=self.device_id, site_id=self.site_id, group=self.group, set=old, reset=gone
        )

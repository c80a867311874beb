"""The operations on the configuration of a device: one group of parameters at a time.

The device's manifest declares the groups and parameters; a plan checks against it before anything
is sent.

Source: API page, "Device Configuration".
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.models.devices import Device
from enapter_async.models.manifest import ConfigurationGroup, Manifest, Parameter, value_of
from enapter_async.operation import MIB, Answer, Operation, Repeat, RequestParts, Target
from enapter_async.operations import configuration_arguments as checks
from enapter_async.operations.devices import PROOF
from enapter_async.operations.on_device import OnDevice, too_low

T = TypeVar("T")

_MISSING: Final = object()


def _hidden(values: Mapping[str, Any]) -> str:
    """Return the names of values, any of which may be sensitive."""
    return f"{{{', '.join(f'{name}: …' for name in values)}}}"


@attrs.frozen(kw_only=True)
class _OnGroup(OnDevice[T]):
    """An operation on one group of a device's configuration."""

    proof: ClassVar[Operation[Any] | None] = PROOF

    group: str = attrs.field(converter=checks.group)

    def target(self) -> Target:
        """Return the group, as a part of the device."""
        return super().target()._replace(part=f"configuration.{self.group}")

    def accepts(self, result: Any) -> bool:
        """Return True: an answer does not name its device."""
        return True

    def _declared(self, device: Device) -> ConfigurationGroup | None:
        """Return the group's declaration in the device's manifest, or None if it was not read."""
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

    names: tuple[str, ...] = attrs.field(default=(), converter=checks.names)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        query = (("param_names", ",".join(self.names)),) if self.names else ()
        return RequestParts("GET", self.path("configuration", self.group), query)


@attrs.frozen(kw_only=True)
class _ChangesGroup(_OnGroup[ConfigurationValues]):
    """An operation that sets the values of a group, and returns the new ones."""

    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[ConfigurationValues]] = GetConfiguration.answer
    plan_expand: ClassVar[tuple[str, ...]] = ("manifest",)

    def reads(self) -> GetConfiguration:
        """Return the operation that reads the group."""
        return GetConfiguration(device_id=self.device_id, site_id=self.site_id, group=self.group)

    def _restoring(
        self, names: Iterable[str], before: ConfigurationValues
    ) -> "UpdateConfiguration | None":
        """Return the update that restores these values; None if there are none."""
        old = {name: before[name] for name in names if before.get(name) is not None}
        gone = tuple(name for name in names if name not in old)
        if not old and not gone:
            return None
        return UpdateConfiguration(
            device_id=self.device_id, site_id=self.site_id, group=self.group, set=old, reset=gone
        )


@attrs.frozen(kw_only=True)
class UpdateConfiguration(_ChangesGroup):
    """Set parameters of a group, and reset others to their defaults.

    `secrets` are the sensitive parameters to set: "env:VARIABLE" or "file:PATH" says where to read
    each value when it is sent, so that no plan or journal holds it. `defaults` are the defaults of
    the parameters in `reset`, null for none; a plan adds them from the manifest, and without them
    an uncertain reset can be settled only if the parameter then has no value. `untyped` says that
    the values are texts, as in the cells of a file: a plan converts them as the manifest declares,
    and reads "env:VARIABLE" or "file:PATH" as the location of a sensitive value.

    Sets an absolute state, so it is safe to repeat.

    Source: API page "Device Configuration", `PATCH devices/{device_id}/configuration/{group}`.
    """

    kind: ClassVar[str] = "configuration.update"

    set: dict[str, Any] = attrs.field(
        factory=dict, converter=checks.values_to_set, hash=False, repr=_hidden
    )
    secrets: dict[str, Any] = attrs.field(factory=dict, converter=checks.secrets, hash=False)
    reset: tuple[str, ...] = attrs.field(default=(), converter=checks.reset)
    defaults: dict[str, Any] | None = attrs.field(
        default=None, converter=checks.defaults, hash=False, repr=False
    )

    untyped: bool = attrs.field(default=False, repr=False)

    def __attrs_post_init__(self) -> None:
        named = (*self.set, *self.secrets, *self.reset)
        if not named:
            raise ArgumentError("an update must set or reset a parameter; it names none")
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise ArgumentError(f"{twice} must be in only one of set, secrets and reset")

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation.

        Raises:
            ConfigurationError: the source of a sensitive value in `secrets` cannot be read, or the
                values are untyped.
        """
        if self.untyped:
            raise ConfigurationError(
                "the values are texts from a file: plan it, and apply the plan"
            )
        wanted = {**self.set, **self._revealed()}
        body: dict[str, Any] = {"set": wanted} if wanted else {}
        if self.reset:
            body["reset"] = list(self.reset)
        return RequestParts("PATCH", self.path("configuration", self.group), (), body)

    def _revealed(self) -> dict[str, Any]:
        return {name: checks.revealed(name, value) for name, value in self.secrets.items()}

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
            name not in state if value is None else checks.same(state.get(name, _MISSING), value)
            for name, value in wanted.items()
        )

    def differs(self, result: ConfigurationValues | None) -> str:
        """Return which parameters are not as requested, without any sensitive value."""
        if result is None or self.holds(result):
            return ""
        reset = set(self.reset) - (self.defaults or {}).keys()
        wrong = [
            f"{name} is {result.get(name)!r}, but {value!r} was requested"
            for name, value in self.changes().items()
            if name not in reset and not checks.same(result.get(name), value)
        ]
        wrong += [
            f"{name} is not as requested"
            for name, value in self._revealed().items()
            if name in result and not checks.same(result[name], value)
        ]
        return "; ".join(wrong)

    def prepared(self, state: Device) -> "UpdateConfiguration":
        """Return the operation with the defaults of the parameters that it resets.

        Raises:
            ArgumentError: it sets a sensitive parameter in plain text, which no file may hold.
        """
        declared = self._declared(state)
        if declared is None:
            return self
        known = declared.parameters
        if self.untyped:
            return self._typed(known).prepared(state)
        for name in self.set:
            if name in known and known[name].sensitive:
                raise ArgumentError(
                    f"{name} is sensitive: put the location of its value (env:VARIABLE or "
                    f"file:PATH) into secrets (--set-secret), which keeps the value out of the "
                    f"job's files"
                )
        if not self.reset or self.defaults is not None:
            return self
        defaults = {name: known[name].default for name in self.reset if name in known}
        return attrs.evolve(self, defaults=defaults)

    def _typed(self, known: Mapping[str, Parameter]) -> "UpdateConfiguration":
        places = {
            name: text
            for name, text in self.set.items()
            if name in known and known[name].sensitive and checks.REFERENCE.fullmatch(str(text))
        }
        values = {
            name: value_of(str(text), known.get(name))
            for name, text in self.set.items()
            if name not in places
        }
        secrets = {**self.secrets, **places}
        return attrs.evolve(self, set=values, secrets=secrets, untyped=False)

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
        return self._restoring((*self.set, *self.reset), before)


@attrs.frozen(kw_only=True)
class ResetConfiguration(_ChangesGroup):
    """Reset all parameters of a group to their defaults; those without one lose their value.

    `defaults` are the values of the group after the reset, with null for a missing default. A plan
    adds them from the manifest; without them an uncertain outcome is settled only if the group is
    then empty.

    Sets an absolute state, so it is safe to repeat.

    Source: API page "Device Configuration",
    `POST devices/{device_id}/configuration/{group}/reset_all`.
    """

    kind: ClassVar[str] = "configuration.reset"

    defaults: dict[str, Any] | None = attrs.field(
        default=None, converter=checks.defaults, hash=False
    )

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
            checks.same(state[name], value) for name, value in wanted.items()
        )

    def differs(self, result: ConfigurationValues | None) -> str:
        """Return "": without the manifest, the expected values are unknown."""
        if result is None or self.defaults is None or self.holds(result):
            return ""
        return "the group does not have its default values"

    def prepared(self, state: Device) -> "ResetConfiguration":
        """Return the operation with the defaults of the group."""
        declared = self._declared(state)
        if declared is None or self.defaults is not None:
            return self
        known = declared.parameters
        return attrs.evolve(self, defaults={name: each.default for name, each in known.items()})

    def undo(self, before: ConfigurationValues) -> Operation[ConfigurationValues] | None:
        """Return the update that restores the old values."""
        return self._restoring(self.changes(), before)

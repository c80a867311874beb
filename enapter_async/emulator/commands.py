"""The emulator's commands (API page "Device Commands"): executions, and how devices answer them.

An execution's state follows from the time since its creation and the `Behaviour` of its command,
so nothing runs in the background.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal

import attrs

from enapter_async.emulator.request import Call, Noun, Request, fits, no_endpoint, text
from enapter_async.emulator.state import (
    Device,
    Refusal,
    Timestamps,
    invalid_parameter,
    moment,
    not_found,
    require,
    told,
    unprocessable,
)
from enapter_async.emulator.world import World

Ending = Literal["succeed", "error", "time out", "never answer"]

STATES: Final = ("NEW", "IN_PROGRESS", "SUCCESS", "ERROR", "TIMEOUT", "UNSYNC")
_ORDERS: Final = ("CREATED_AT_ASC", "CREATED_AT_DESC")


@attrs.frozen(kw_only=True)
class Behaviour:
    """How a device answers a command.

    With "succeed" and "error" it runs the command and answers after `latency` seconds, with
    `payload`. With "time out" it does neither, and the API ends the execution after its own
    timeout; with "never answer" the execution stays NEW. If `unsynced`, the API ends it as
    UNSYNC after `latency`, though the device ran it.
    """

    ending: Ending = "succeed"
    latency: float = 0.0
    payload: Mapping[str, Any] = attrs.field(factory=dict)
    unsynced: bool = False

    @property
    def runs(self) -> bool:
        """Whether the device runs the command."""
        return self.ending in ("succeed", "error")


@attrs.frozen(kw_only=True)
class _Execution:
    id: str
    device_id: str
    site_id: str
    name: str
    manifest_name: str
    arguments: Mapping[str, Any]
    ephemeral: bool
    created_at: datetime
    behaviour: Behaviour
    timeout: float

    def state(self, now: datetime) -> str:
        age = (now - self.created_at).total_seconds()
        behaviour = self.behaviour
        if behaviour.ending == "never answer":
            return "NEW"
        if behaviour.ending == "time out":
            return "NEW" if age < self.timeout else "TIMEOUT"
        if age < behaviour.latency:
            return "IN_PROGRESS"
        if behaviour.unsynced:
            return "UNSYNC"
        return "SUCCESS" if behaviour.ending == "succeed" else "ERROR"

    def responses(self, now: datetime) -> Iterator[tuple[str, Mapping[str, Any], datetime]]:
        """Yield the device's responses so far, newest first."""
        state = self.state(now)
        if state in ("SUCCESS", "ERROR"):
            ended = self.created_at + timedelta(seconds=self.behaviour.latency)
            yield "SUCCEEDED" if state == "SUCCESS" else "ERROR", self.behaviour.payload, ended
        if self.behaviour.runs:
            yield "STARTED", {}, self.created_at

    def to_json(self, now: datetime, timestamps: Timestamps, *, log: bool) -> dict[str, Any]:
        responses = [
            {
                "state": state,
                **({"payload": dict(payload)} if payload else {}),
                "received_at": told(received_at, timestamps),
            }
            for state, payload, received_at in self.responses(now)
        ]
        return {
            "id": self.id,
            "device_id": self.device_id,
            "ephemeral": self.ephemeral,
            "state": self.state(now),
            "created_at": told(self.created_at, timestamps),
            "request": {
                "name": self.name,
                "arguments": dict(self.arguments),
                "manifest_name": self.manifest_name,
            },
            **({"response": responses[0]} if responses else {}),
            **({"log": responses} if log else {}),
        }


class Commands(Noun):
    """The executions of the world, and how each command behaves.

    A command must be in the device's manifest, by its name, an alias, or a name that it
    `implements`. Choices that the API page leaves open: an unknown command and a wrong argument are
    422; a role below the command's `access_level` (USER by default) is 403. Devices that are
    OFFLINE time out. `timeout` is the time after which the API gives up on a device. A blocking
    call is answered at once, as if the time had passed; use `Latency` to delay it.
    """

    paths: ClassVar[tuple[str, ...]] = (
        "devices/{device}/execute_command",
        "devices/{device}/command_executions",
        "devices/{device}/command_executions/{execution}",
        "sites/{site_id}/commands/executions",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.timeout = 1.0
        self._behaviours: dict[tuple[str, str | None], Behaviour] = {}
        self._executions: dict[str, _Execution] = {}

    def behave(self, name: str, behaviour: Behaviour, *, device_id: str | None = None) -> None:
        """Set the behaviour of a command, by its name in the manifest, on one device or all."""
        self._behaviours[name, device_id] = behaviour

    def executions(self, device_id: str | None = None) -> tuple[dict[str, Any], ...]:
        """Return the executions of one device or all, oldest first, ephemeral ones too."""
        now = moment(self.world.now())
        return tuple(
            each.to_json(now, "rfc3339", log=True)
            for each in self._executions.values()
            if device_id in (None, each.device_id)
        )

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a request for commands."""
        execution_id = call.ids.get("execution")
        if call.device is None:
            return self._listed(call, request, None)
        device = self.world.get(call.device, site_id=call.site_id)
        blocking = call.path.rstrip("/").endswith("/execute_command")
        match call.method:
            case "POST" if blocking:
                made = self._create(device, request, blocking=True)
                later = moment(self.world.now() + max(self.timeout, made.behaviour.latency))
                return {"execution": self._shown(made, request, at=later)}
            case "POST" if execution_id is None:
                return {"execution_id": self._create(device, request).id}
            case "GET" if execution_id is not None:
                found = self._executions.get(execution_id)
                if found is None or found.device_id != device.id:
                    raise not_found("There is no such execution.")
                return {"execution": self._shown(found, request)}
            case "GET" if not blocking:
                return self._listed(call, request, device)
        raise no_endpoint()

    def _shown(
        self, execution: _Execution, request: Request, at: datetime | None = None
    ) -> dict[str, Any]:
        log = "log" in request.expand(("log",))
        now = at or moment(self.world.now())
        return execution.to_json(now, request.timestamps, log=log)

    def _create(self, device: Device, request: Request, *, blocking: bool = False) -> _Execution:
        asked = request.object()
        name, arguments = text(asked, "name") or "", asked.get("arguments") or {}
        if not isinstance(arguments, dict):
            raise invalid_parameter("arguments", "It must be an object.")
        manifest_name, command = _command(device, name)
        needed = str(command.get("access_level") or "user").upper()
        require(request.role or device.authorized_role, needed)
        _check(arguments, command.get("arguments") or {})
        behaviour = self._behaviour(manifest_name, device)
        if blocking and behaviour.ending == "never answer":
            behaviour = attrs.evolve(behaviour, ending="time out")
        made = _Execution(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"execution {len(self._executions)}")),
            device_id=device.id,
            site_id=device.site_id,
            name=name,
            manifest_name=manifest_name,
            arguments=arguments,
            ephemeral=asked.get("ephemeral") is True,
            created_at=moment(self.world.now()),
            behaviour=behaviour,
            timeout=self.timeout,
        )
        self._executions[made.id] = made
        values = {"name": manifest_name, "arguments": json.dumps(arguments, sort_keys=True)}
        self.world.log.applied("create_execution", device.id, values)
        if made.behaviour.runs:
            self.world.log.applied("ran", device.id, values)
        return made

    def _behaviour(self, manifest_name: str, device: Device) -> Behaviour:
        own = self._behaviours.get((manifest_name, device.id))
        if own is None and device.connectivity == "OFFLINE":
            return Behaviour(ending="time out")
        return own or self._behaviours.get((manifest_name, None)) or Behaviour()

    def _listed(self, call: Call, request: Request, device: Device | None) -> dict[str, Any]:
        if call.method != "GET":
            raise no_endpoint()
        now = moment(self.world.now())
        order = request.parameter("order") or _ORDERS[0]
        if order not in _ORDERS:
            raise invalid_parameter("order", f"It may be {' or '.join(_ORDERS)}.")
        states = request.names("state.in")
        if not set(states) <= set(STATES):
            raise invalid_parameter("state.in", f"It may name {', '.join(STATES)}.")
        names = request.names("name.in")
        devices = request.names("device_id.in") if device is None else (device.id,)
        since, until = map(request.time, ("created_at.gte", "created_at.lt"))
        found = [
            each
            for each in self._executions.values()
            if not each.ephemeral
            and (device is not None or each.site_id == call.site_id)
            and (not devices or each.device_id in devices)
            and (not names or each.name in names)
            and (not states or each.state(now) in states)
            and (since is None or each.created_at >= since)
            and (until is None or each.created_at < until)
        ]
        if order == _ORDERS[1]:
            found.reverse()
        page = found[request.page()]
        return {
            "executions": [each.to_json(now, request.timestamps, log=False) for each in page],
            "total_count": len(found),
        }


def _command(device: Device, name: str) -> tuple[str, Mapping[str, Any]]:
    """Return the command with this name or alias in a device's manifest."""
    commands = device.manifest.get("commands") or {}
    for manifest_name, command in commands.items():
        known = {manifest_name}
        for key in ("aliases", "implements"):
            more = command.get(key) or ()
            known |= {more} if isinstance(more, str) else set(more)
        if name in known:
            return manifest_name, command
    raise unprocessable("The device has no such command.", name=name)


def _check(arguments: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    for name in arguments:
        if name not in declared:
            raise _wrong(name, "The command has no such argument.")
    for name, rules in declared.items():
        value = arguments.get(name)
        if value is None:
            if rules.get("required") and "default" not in rules:
                raise _wrong(name, "It is required.")
            continue
        if not fits(value, rules.get("type")):
            raise _wrong(name, f"It must be of type {rules['type']}.")
        choices = rules.get("enum")
        if choices and value not in choices:
            raise _wrong(name, "It is not one of the allowed values.")
        if fits(value, "float"):
            least, most = rules.get("min", value), rules.get("max", value)
            if not least <= value <= most:
                raise _wrong(name, "It is out of range.")


def _wrong(name: str, message: str) -> Refusal:
    return Refusal(422, "invalid_argument", message, {"parameter": f"arguments.{name}"})

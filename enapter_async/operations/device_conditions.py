"""Conditions that a gate checks on devices between two waves: alerts, properties, telemetry."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest
from enapter_async.models.telemetry import TelemetryPoint
from enapter_async.operation import Operation
from enapter_async.operations.arguments import shown
from enapter_async.operations.device_selection import COMPARED, EQUALITY, PropertyCondition
from enapter_async.operations.nouns import Condition
from enapter_async.operations.rule_arguments import seconds
from enapter_async.operations.telemetry import latest_in_batches

SEVERITIES: Final = ("info", "warning", "error")
"""The severities of alerts, from lowest to highest."""
NOT_CONFIGURED: Final = "not_configured"
"""The alert that every device raises until its required parameters are set."""

_ALERTS: Final = re.compile(r"alerts(?:\(\s*([a-z]+)\s*\))?")
_WATCHED: Final = re.compile(
    r"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s+for\s+(\S+)\s*"
)
_LATEST: Final = timedelta(minutes=1)
"""How old the latest value of an attribute may be."""
LONGEST: Final = 24 * 3600
_HOW: Final = (
    "write alerts, alerts(error), a condition on a property, such as status=ok, or one on "
    "telemetry with a time, such as power>0 for 5m"
)


@attrs.frozen
class NoAlerts(Condition):
    """Met if no alert but `not_configured` is raised, or none of at least this severity.

    An alert of unknown severity counts as severe. A device that does not report its alerts counts
    as unknown, not as one without alerts.
    """

    severity: str | None = None

    @property
    def expand(self) -> tuple[str, ...]:
        """The fields that must be requested; severities are in the manifest."""
        return ("raised_alert_names", *(("manifest",) if self.severity else ()))

    def is_met(self, state: Any) -> bool | None:
        """Return whether a device has no such alert; None if it does not say."""
        device: Device = state
        if device.raised_alert_names is None:
            return None
        declared = Manifest(device.manifest).alerts if self.severity else {}
        return not any(
            self._counts(None if name not in declared else declared[name].severity)
            for name in device.raised_alert_names
            if name != NOT_CONFIGURED
        )

    def stands_apart(self, state: Any) -> bool:
        """Return whether a device is not configured, as it may be after a blueprint change."""
        return NOT_CONFIGURED in (state.raised_alert_names or ())

    def _counts(self, severity: str | None) -> bool:
        if self.severity is None or severity is None or severity.lower() not in SEVERITIES:
            return True
        return SEVERITIES.index(severity.lower()) >= SEVERITIES.index(self.severity)


@attrs.frozen
class HasProperty(Condition):
    """Met if a property compares with a value as required; unknown without the property."""

    condition: PropertyCondition

    @property
    def expand(self) -> tuple[str, ...]:
        """The fields that must be requested."""
        return ("properties",)

    def is_met(self, state: Any) -> bool | None:
        """Return whether the property is as wanted; None if the device shows no properties."""
        device: Device = state
        return None if device.properties is None else self.condition.is_met(device.properties)


@attrs.frozen
class HasTelemetry(Condition):
    """The latest value of an attribute compares with another value, for some time."""

    attribute: str
    sign: str
    wanted: str
    seconds: float

    @property
    def lasting(self) -> float:
        """For how many seconds it must stay met."""
        return self.seconds

    def reads(self, names: Iterable[str]) -> Iterable[Operation[Mapping[str, Any]]]:
        """Return the reads of the latest values, of 50 devices each."""
        asked = dict.fromkeys(names, (self.attribute,))
        return latest_in_batches(asked, _LATEST) if asked else ()

    def is_met(self, state: Any) -> bool | None:
        """Return whether the value compares so; None if the API has no recent one."""
        point: TelemetryPoint | None = state.get(self.attribute)
        if point is None or point.timestamp is None or point.value is None:
            return None
        number = _number(self.wanted)
        value: Any = point.value
        if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
            return bool(COMPARED[self.sign](value, number))
        text = value if isinstance(value, str) else json.dumps(value)
        return (text == self.wanted) is (self.sign == "=") if self.sign in EQUALITY else False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def device_condition(text: str) -> Condition:
    """Return the condition that a string describes.

    Raises:
        ConfigurationError: it describes none; the message says how to write one.
    """
    given: Any = text
    if not isinstance(given, str):
        raise ConfigurationError(f"a gate must be a string; got {shown(given)}")
    found = _ALERTS.fullmatch(text.strip())
    if found is not None:
        if found[1] not in (None, *SEVERITIES):
            raise ConfigurationError(
                f"{shown(text)}: severities of alerts are {', '.join(SEVERITIES)}"
            )
        return NoAlerts(found[1])
    watched = _WATCHED.fullmatch(text)
    if watched is not None:
        attribute, sign, wanted, duration = watched.groups()
        lasting = seconds(duration)
        if lasting is None or not 0 <= lasting <= LONGEST:
            raise ConfigurationError(
                f"{shown(text)}: the time after 'for' must be a duration of at most 24h, such as 5m"
            )
        if sign not in EQUALITY and _number(wanted) is None:
            raise ConfigurationError(
                f"{shown(text)} is never met: {sign} compares numbers, such as power>0 for 5m"
            )
        return HasTelemetry(attribute, sign, wanted, lasting)
    try:
        return HasProperty(PropertyCondition(text))
    except ConfigurationError:
        raise ConfigurationError(f"{shown(text)} is not a gate; {_HOW}") from None

"""Conditions that a gate checks on devices between two waves: their alerts, or a property."""

import re
from typing import Any, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest
from enapter_async.operations.arguments import shown
from enapter_async.operations.device_selection import PropertyCondition
from enapter_async.operations.nouns import Condition

SEVERITIES: Final = ("info", "warning", "error")
"""The severities of alerts, the least first."""
NOT_CONFIGURED: Final = "not_configured"
"""The alert that every device raises until its required parameters are set."""

_ALERTS: Final = re.compile(r"alerts(?:\(\s*([a-z]+)\s*\))?")
_HOW: Final = "write alerts, alerts(error) or a condition on a property, such as status=ok"


@attrs.frozen
class NoAlerts(Condition):
    """No alert is raised, or none of at least this severity, besides `not_configured`.

    An alert of unknown severity counts as severe. A device that does not say which alerts it raises
    is unknown, and not one without alerts.
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
    """A property has a value, or compares with one; a device without it does not say."""

    condition: PropertyCondition

    @property
    def expand(self) -> tuple[str, ...]:
        """The fields that must be requested."""
        return ("properties",)

    def is_met(self, state: Any) -> bool | None:
        """Return whether the property is as wanted; None if the device shows no properties."""
        device: Device = state
        return None if device.properties is None else self.condition.is_met(device.properties)


def device_condition(text: str) -> Condition:
    """Return the condition that a text describes.

    Raises:
        ConfigurationError: it describes none; the message says how to write one.
    """
    given: Any = text
    if not isinstance(given, str):
        raise ConfigurationError(f"a gate must be a text; got {shown(given)}")
    found = _ALERTS.fullmatch(text.strip())
    if found is not None:
        if found[1] not in (None, *SEVERITIES):
            raise ConfigurationError(
                f"{shown(text)}: severities of alerts are {', '.join(SEVERITIES)}"
            )
        return NoAlerts(found[1])
    if re.search(r"\sfor\s", text):
        raise ConfigurationError(
            f"{shown(text)}: a gate cannot watch a value over time; use --hold to wait, and {_HOW}"
        )
    try:
        return HasProperty(PropertyCondition(text))
    except ConfigurationError:
        raise ConfigurationError(f"{shown(text)} is not a gate; {_HOW}") from None

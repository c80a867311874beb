"""The methods for the configuration of devices: `client.configuration`.

Source: API page, "Device Configuration".
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from enapter_async.api.checking import checked
from enapter_async.api.executor import Executor
from enapter_async.concealment import Secret, concealing
from enapter_async.errors import ArgumentError
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.operations.configuration import (
    GetConfiguration,
    ResetConfiguration,
    UpdateConfiguration,
)


@attrs.frozen
class Configuration:
    """The methods for groups of parameters of devices, which a device's manifest declares.

    Each executes one operation, and raises the same errors as the methods of `Devices`. The server
    checks the values of parameters. With `check`, they are checked first, as a plan does: the
    device is read, and `ArgumentError` is raised if its manifest declares no such parameter,
    another type or a higher role, or a value as sensitive that is not in `secrets`.
    """

    _executor: Executor

    async def get(
        self,
        device_id: str,
        group: str,
        *,
        names: Iterable[str] = (),
        site_id: str | None = None,
    ) -> ConfigurationValues:
        """Read the values of a group, or with `names` only those of some parameters.

        A parameter without a value is absent. Changes nothing; safe to repeat.
        """
        return await self._executor.execute(
            GetConfiguration(device_id=device_id, site_id=site_id, group=group, names=names)
        )

    async def update(
        self,
        device_id: str,
        group: str,
        *,
        set: Mapping[str, Any] = {},  # noqa: A002 - the API's own word; never changed
        secrets: Mapping[str, Any] = {},
        reset: Iterable[str] = (),
        site_id: str | None = None,
        check: bool = False,
    ) -> ConfigurationValues:
        """Set parameters of a group, reset others to their defaults, and return the whole group.

        Pass sensitive values as `secrets`: they appear in no `repr`, log or error. Safe to repeat:
        it sets an absolute state.
        """
        update = UpdateConfiguration(
            device_id=device_id,
            site_id=site_id,
            group=group,
            set=set,
            secrets=_concealed(secrets),
            reset=reset,
        )
        if check:
            update, _ = await checked(self._executor, update)
        return await self._executor.execute(update)

    async def reset_all(
        self, device_id: str, group: str, *, site_id: str | None = None, check: bool = False
    ) -> ConfigurationValues:
        """Reset all parameters of a group to their defaults, and return the group.

        A parameter without a default loses its value. Safe to repeat: it sets an absolute state.
        """
        reset = ResetConfiguration(device_id=device_id, site_id=site_id, group=group)
        if check:
            reset, _ = await checked(self._executor, reset)
        return await self._executor.execute(reset)


@concealing
def _concealed(values: Mapping[str, Any]) -> dict[str, Secret]:
    try:
        return {name: Secret(json.dumps(value, allow_nan=False)) for name, value in values.items()}
    except (AttributeError, TypeError, ValueError):
        pass  # the error holds the value, so it is not passed on
    raise ArgumentError("secrets must be an object with values that JSON can carry")

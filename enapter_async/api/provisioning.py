"""The methods that create devices: `client.provisioning`.

Source: API page, "Provisioning".
"""

import attrs

from enapter_async.api.executor import Executor
from enapter_async.models.provisioning import Provisioned
from enapter_async.operations.provisioning import (
    ProvisionLuaDevice,
    ProvisionStandalone,
    ProvisionUcm,
    ProvisionVucm,
)


@attrs.frozen
class Provisioning:
    """The methods that create devices; each executes one operation, and returns the new id.

    None of them is safe to repeat, and none is sent a second time after an attempt that may have
    arrived. Every method raises at the `await`, as those of `client.devices` do; and
    `AmbiguousOutcomeError` if it is unknown whether the device was created.
    """

    _executor: Executor

    async def standalone(
        self, name: str, *, site_id: str | None = None, slug: str | None = None
    ) -> Provisioned:
        """Create a standalone device; `site_id` may be omitted on a gateway.

        Set an unused `slug`: a lost answer is then settled by reading the device by its slug, if
        nothing had it before. Without one, a lost answer stays unknown. Raises `ConflictError` if
        the slug is taken, and `ResultDiffersError` if the device got another.
        """
        return await self._executor.execute(
            ProvisionStandalone(name=name, site_id=site_id, slug=slug)
        )

    async def lua_device(
        self, name: str, *, runtime_id: str, blueprint_id: str, slug: str | None = None
    ) -> Provisioned:
        """Create a device that a blueprint's Lua script runs on a UCM, `runtime_id`.

        A `slug` settles a lost answer, as for `standalone`.
        """
        return await self._executor.execute(
            ProvisionLuaDevice(
                name=name, runtime_id=runtime_id, blueprint_id=blueprint_id, slug=slug
            )
        )

    async def vucm(self, name: str, *, hardware_id: str, site_id: str | None = None) -> Provisioned:
        """Create a virtual UCM on a gateway.

        After a lost answer, the error's `candidates` hold the device with this hardware id, unless
        it existed before.
        """
        return await self._executor.execute(
            ProvisionVucm(name=name, hardware_id=hardware_id, site_id=site_id)
        )

    async def ucm(
        self, name: str, *, hardware_id: str, protocol: str, site_id: str | None = None
    ) -> Provisioned:
        """Create a hardware UCM, and return it with its new MQTT configuration.

        `protocol` is MQTT or MQTTS. The credentials in `config` are returned only once: if the
        answer is lost, generate a configuration for the device. The error's `answer` holds what
        arrived of it.
        """
        return await self._executor.execute(
            ProvisionUcm(name=name, hardware_id=hardware_id, protocol=protocol, site_id=site_id)
        )

"""What the API returns about a device that it just created.

Source: API page, "Provisioning".
"""

import attrs

from enapter_async.models.configs import CommunicationConfig


@attrs.frozen(kw_only=True)
class Provisioned:
    """A device that was just created; read it with `client.devices.get(provisioned.device_id)`.

    `slug` is None if the server did not report it. `config` is the new device's MQTT
    configuration, which only the provisioning of a hardware UCM returns, and only once.
    """

    device_id: str
    slug: str | None = None
    config: CommunicationConfig | None = None

"""The configuration that a device needs to connect: the result of `generate_config`.

Source: API page, "Generate Device Configuration".
"""

from typing import ClassVar, Self

import attrs

from enapter_async.models.enumerations import OpenEnum


class MQTTProtocol(OpenEnum):
    """How a device connects to the broker; unknown values are allowed only in answers."""

    MQTT: ClassVar[Self]
    """Without encryption; the credentials are a user name and a password."""
    MQTTS: ClassVar[Self]
    """Over TLS; the credentials are a private key and certificates."""


class TimeSyncProtocol(OpenEnum):
    """How a device gets the time; an open enumeration."""

    NTP: ClassVar[Self]
    HTTP: ClassVar[Self]


@attrs.frozen(kw_only=True)
class MQTTCredentials:
    """The credentials for `MQTTProtocol.MQTT`. The password does not appear in `repr`."""

    username: str
    password: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class MQTTSCredentials:
    """The credentials for `MQTTProtocol.MQTTS`. The private key does not appear in `repr`.

    All fields are PEM text; `ca_chain` may be missing if a public authority signed the broker's
    certificate.
    """

    private_key: str = attrs.field(repr=False)
    certificate: str
    ca_chain: str | None = None


@attrs.frozen(kw_only=True)
class CommunicationConfig:
    """A new configuration of a device, with secrets that the API returns only once.

    The class of `mqtt_credentials` depends on `mqtt_protocol`.
    """

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: MQTTProtocol
    mqtt_credentials: MQTTCredentials | MQTTSCredentials
    time_sync_protocol: TimeSyncProtocol | None = None
    time_sync_host: str | None = None
    time_sync_port: int | None = None
    hardware_id: str | None = None
    channel_id: str | None = None

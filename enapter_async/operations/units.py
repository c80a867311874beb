"""Units: several operations on one new object, which a row of a file names together.

The object has no id yet, so all of them address it by a key that the row chooses; they are carried
out in order, and the later ones are held if an earlier one was not done.
"""

from typing import Any, ClassVar, Final

import attrs

from enapter_async.models.configs import MQTTProtocol
from enapter_async.operation import Operation
from enapter_async.operations import device_arguments
from enapter_async.operations.devices import AssignBlueprint, GenerateConfig
from enapter_async.operations.provisioning import ProvisionStandalone


class Unit:
    """The operations of one row; `kind` is the unit's name in files."""

    kind: ClassVar[str]

    def operations(self) -> tuple[Operation[Any], ...]:
        """Return the operations, in order."""
        raise NotImplementedError(f"{type(self).__name__} must say what its operations are")


@attrs.frozen(kw_only=True)
class ProvisionDevice(Unit):
    """Create a standalone device, assign a blueprint to it, and generate its configuration.

    Without `blueprint_id` or `protocol`, that step is left out. The later steps address the
    device by `slug` and `site_id`.
    """

    kind: ClassVar[str] = "provision"

    name: str
    slug: str
    site_id: str | None = None
    blueprint_id: str | None = attrs.field(
        default=None, converter=attrs.converters.optional(device_arguments.blueprint_id)
    )
    protocol: MQTTProtocol | None = attrs.field(
        default=None, converter=attrs.converters.optional(device_arguments.protocol)
    )

    def operations(self) -> tuple[Operation[Any], ...]:
        """Return the creation, the assignment and the generation."""
        slug, site_id = self.slug, self.site_id
        found: list[Operation[Any]] = [
            ProvisionStandalone(name=self.name, slug=slug, site_id=site_id)
        ]
        if self.blueprint_id is not None:
            found.append(
                AssignBlueprint(device_id=slug, site_id=site_id, blueprint_id=self.blueprint_id)
            )
        if self.protocol is not None:
            found.append(GenerateConfig(device_id=slug, site_id=site_id, protocol=self.protocol))
        return tuple(found)


UNITS: Final[dict[str, type[Unit]]] = {each.kind: each for each in (ProvisionDevice,)}
"""The units by their names in files."""

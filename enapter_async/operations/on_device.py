"""Operations on one device, addressed directly or through its site.

Each path of a device also exists below its site; a device at that path belongs to the site.
"""

from typing import Any, Final, TypeVar, cast

import attrs

from enapter_async.models.devices import AccessRole, Device
from enapter_async.operation import Operation, Repeat, Target
from enapter_async.operations import device_arguments
from enapter_async.operations.arguments import is_uuid

T = TypeVar("T")

IDENTITY: Final = ("name", "slug", "site_id", "blueprint_id")
"""The fields of a device that must be as planned before an operation that cannot be undone."""

_ROLES: Final = AccessRole.known()
_READ: Final = Repeat.READ


def is_about(asked: str, device: Device, *, new_slug: bool = False) -> bool:
    """Return whether the answer is about the requested device, by its id or its slug.

    With `new_slug` the request sets the slug, so any slug is accepted.
    """
    if device.id == asked:
        return True
    if is_uuid(asked):
        return not is_uuid(device.id) or device.id.lower() == asked.lower()
    return new_slug or not device.slug or device.slug.lower() == asked.lower()


def too_low(role: str | None, needed: AccessRole) -> str:
    """Return the reason why a role is too low, or "" if it suffices or its rank is unknown."""
    if role in _ROLES and _ROLES.index(role) < _ROLES.index(needed):
        return f"it needs the role {needed}, but this token's role there is {role}"
    return ""


@attrs.frozen(kw_only=True)
class OnDevice(Operation[T]):
    """An operation on the device with the id or slug `device_id`.

    With `site_id` it is addressed through that site, where its slug is unique.
    """

    device_id: str = attrs.field(converter=device_arguments.device_id)
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)

    def path(self, *rest: str) -> tuple[str, ...]:
        """Return the path of the device, followed by `rest`."""
        if self.site_id is None:
            return ("devices", self.device_id, *rest)
        return ("sites", self.site_id, "devices", self.device_id, *rest)

    def target(self) -> Target:
        """Return the device; a UUID is the same in upper and lower case."""
        lower = self.device_id.lower()
        same = lower == self.device_id or is_uuid(self.device_id)
        return Target("device", lower if same else self.device_id, self.site_id)

    def writes_to(self) -> tuple[str, str] | None:
        """Return the identity of the written device; None for a read."""
        if self.repeat is _READ:
            return None
        # Almost every id is in lower case, and then the target has the same one.
        device_id = self.device_id
        same = device_id == device_id.lower()
        return ("device", device_id if same else self.target().id or device_id)

    def proven_by(self) -> Operation[Any] | None:
        """Return a list of devices; with `site_id` that of the site, whose path may be wrong."""
        if self.site_id is None:
            return self.proof
        proof: Operation[Any] = attrs.evolve(cast("Any", self.proof), site_id=self.site_id)
        return proof

    def accepts(self, result: Any) -> bool:
        """Return whether an answer with a device is about the requested one."""
        return not isinstance(result, Device) or self.is_at(result)

    def is_at(self, device: Device, *, new_slug: bool = False) -> bool:
        """Return whether a device has the requested address."""
        if self.site_id is None and device.id == self.device_id:
            return True  # as almost always
        elsewhere = self.site_id is not None and device.site_id not in (None, self.site_id)
        return not elsewhere and is_about(self.device_id, device, new_slug=new_slug)

"""Models of a site as the API returns it.

Source: API page, "Sites".
"""

import attrs

from enapter_async.models.devices import AccessRole


@attrs.frozen(kw_only=True)
class SiteLocation:
    """The location of a site; a coordinate that the server omitted or left empty is None.

    Servers write coordinates as numbers or as text; they are floats here.
    """

    name: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@attrs.frozen(kw_only=True)
class Site:
    """A site as the API returned it: frozen, compared by value, hashable.

    Only `id` is always present; a field that the server omitted or sent as null is None.
    `timezone` is a name such as "Europe/Rome"; `version` is that of the site, such as "V3".

    Source: API page, "Sites".
    """

    id: str
    name: str | None = None
    timezone: str | None = None
    version: str | None = None
    authorized_role: AccessRole | None = None
    location: SiteLocation | None = None
    archived: bool | None = None

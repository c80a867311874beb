"""Models of a blueprint as the API returns it.

Source: API page, "Blueprints".
"""

from datetime import datetime
from typing import ClassVar, Self

import attrs

from enapter_async.models.enumerations import OpenEnum


class BlueprintView(OpenEnum):
    """The form of a downloaded blueprint: as it was uploaded, or as the API compiled it.

    Source: API page "Blueprints".
    """

    ORIGINAL: ClassVar[Self]
    COMPILED: ClassVar[Self]


@attrs.frozen(kw_only=True)
class BlueprintName:
    """One of the full names of a blueprint: `namespace/name:tag`."""

    namespace: str | None = None
    name: str | None = None
    tag: str | None = None


@attrs.frozen(kw_only=True)
class Blueprint:
    """A blueprint as the API returned it; `full_names` is empty if it is known only by its id.

    Source: API page, "Blueprints".
    """

    id: str
    created_at: datetime | None = None
    full_names: tuple[BlueprintName, ...] = ()

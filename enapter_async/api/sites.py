"""The methods for sites: `client.sites`.

Source: API page, "Sites".
"""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import attrs

from enapter_async.api.executor import Executor
from enapter_async.api.paging import read_all
from enapter_async.models.sites import Site, SiteLocation
from enapter_async.operation import UNSET, Unset
from enapter_async.operations.sites import CreateSite, DeleteSite, GetSite, ListSites, UpdateSite


@attrs.frozen
class Sites:
    """The methods for sites; each executes one operation, and raises the same errors as `Devices`.

    A location is a `SiteLocation`, or a mapping with some of its fields.
    """

    _executor: Executor

    def list(self, *, name: str | None = None, mine: bool = False) -> AsyncGenerator[Site, None]:
        """Yield the sites that the caller may see.

        With `mine`, only the sites where the caller is owner or installer are listed. `name` is
        passed to the server, which decides which names match. Sites are read lazily, page by page;
        no id is yielded twice. Changes nothing; safe to repeat, and to stop early.
        """
        return read_all(partial(ListSites, name=name, mine=mine), self._executor)

    async def get(self, site_id: str | None = None) -> Site:
        """Read one site; without `site_id`, the only site of the gateway at `base_url`.

        Raises `NotFoundError` if there is no such site, or the caller may not see it. Changes
        nothing; safe to repeat.
        """
        return await self._executor.execute(GetSite(site_id=site_id))

    async def create(
        self,
        *,
        name: str,
        timezone: str,
        location: SiteLocation | Mapping[str, Any] | None = None,
    ) -> Site:
        """Create a site, and return it.

        Not safe to repeat: each call creates a new site, and names are not unique. The `candidates`
        of an `AmbiguousOutcomeError` are the sites that this call may have created.
        """
        return await self._executor.execute(
            CreateSite(name=name, timezone=timezone, location=location)
        )

    async def update(
        self,
        site_id: str | None = None,
        *,
        name: str | Unset | None = UNSET,
        timezone: str | Unset | None = UNSET,
        location: SiteLocation | Mapping[str, Any] | Unset | None = UNSET,
    ) -> Site:
        """Set the name, the time zone or the location of a site, and return the updated site.

        A field that you omit is not sent and stays unchanged. Without `site_id`, it is the
        gateway's own site. Safe to repeat: it sets an absolute state.
        """
        return await self._executor.execute(
            UpdateSite(site_id=site_id, name=name, timezone=timezone, location=location)
        )

    async def delete(self, site_id: str) -> None:
        """Delete a site.

        Raises `NotFoundError` if there is no such site. Safe to repeat; cannot be undone.
        """
        await self._executor.execute(DeleteSite(site_id=site_id))

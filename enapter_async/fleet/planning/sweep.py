"""Reads a fleet by pages that overlap, so that a fleet which moves meanwhile hides no device."""

from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from enapter_async._http.call import CallRecord
from enapter_async.errors import EnapterError
from enapter_async.fleet.item import Caller
from enapter_async.models.devices import Device
from enapter_async.operations.devices import LARGEST_PAGE, ListDevices

STEPS_BACK: Final = 5
"""How often in a row a sweep steps back by a page before it gives up."""

_REMEMBERED: Final = (STEPS_BACK + 1) * LARGEST_PAGE


class UnsteadyFleetError(EnapterError):
    """Devices came and went faster than their list could be read; try again later."""


async def sweep(
    client: Caller, *, site_id: str | None = None, expand: Iterable[str] = ()
) -> AsyncGenerator[tuple[Device, ...], None]:
    """Read every device of the account, or of one site, page by page.

    Each page but the first begins at the last device of the page before it. Where that
    device, or another one just read, does not stand first, devices before it came or went:
    the next request steps back by a page, up to five times in a row. So no device that was
    there all the time is missed. One that came meanwhile may be missing, and one that
    moved far may be given twice. Memory does not grow with the fleet.

    Changes nothing; safe to repeat, and to leave early.

    Raises:
        UnsteadyFleetError: five steps back found no place to go on from.

    Source: API page "Fetch Devices", `GET devices` and `GET sites/{site_id}/devices`.
    """
    names = tuple(expand)
    recent: deque[str] = deque(maxlen=_REMEMBERED)
    before: tuple[Device, ...] = ()
    offset = steps = stale = 0
    while True:
        request = ListDevices(site_id=site_id, expand=names, offset=offset)
        page = await client.call(request, record=CallRecord(), patient=True)
        known = set(recent)
        # A page of one device leaves no room for an overlap, so the next one shows none.
        overlaps = offset > 0 and len(before) != 1
        if overlaps and not (page and page[0].id in known):
            steps += 1
            if steps > STEPS_BACK:
                raise _unsteady()
            offset = max(0, offset - (LARGEST_PAGE - 1))
            continue
        fresh = tuple({device.id: device for device in page if device.id not in known}.values())
        if fresh:
            yield fresh
            steps = stale = 0
        elif len(page) <= 1 or _ids(page) == _ids(before):
            return
        else:
            # Devices came before this place: it was read already, and the new ground is ahead.
            stale += 1
            if stale > STEPS_BACK + 1:
                raise _unsteady()
        if len(page) > _REMEMBERED:
            # A server that knows no paging: remember all of it, to see that it comes again.
            recent = deque(maxlen=len(page))
        recent.extend(device.id for device in fresh)
        before = page
        offset += max(1, len(page) - 1)


def _ids(page: tuple[Device, ...]) -> list[str]:
    return [device.id for device in page]


def _unsteady() -> UnsteadyFleetError:
    return UnsteadyFleetError(
        "the list of devices changed faster than it could be read; nothing was sent, so try "
        "again later"
    )

"""Requests that take effect late, because of a server's queue, a replica or a slow proxy.

A client cannot distinguish a lost request from one that is still on its way, so its report must be
true of both.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal, get_args

import attrs

from tests.support.world import World

Moment = Literal["tick", "gone", "read", "request", "end"]
"""When a request takes effect: at the loop's next tick; once its connection has closed; after the
next read was answered, such as the one that settles the call; after the next request of any kind
was answered; or when the test decides, after the call (`Late.land`)."""

MOMENTS: Final[tuple[Moment, ...]] = get_args(Moment)

Asked = tuple[int, str, str, bytes]
"""A request as `World.serve` takes it."""


@attrs.frozen(eq=False)
class _Waiting:
    moment: Moment
    connection: int
    asked: Asked


class Late:
    """Requests that were received but have not taken effect yet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[_Waiting] = []

    def put_off(self, moment: Moment, connection: int, asked: Asked) -> None:
        """Keep a request until its moment."""
        waiting = _Waiting(moment, connection, asked)
        self._waiting.append(waiting)
        if moment == "tick":
            asyncio.get_running_loop().call_soon(self._ripen, lambda each: each is waiting)

    def connection_gone(self, number: int) -> None:
        self._ripen(lambda each: each.moment == "gone" and each.connection == number)

    def request_served(self, *, read: bool) -> None:
        self._ripen(lambda each: each.moment == "request" or (read and each.moment == "read"))

    def land(self) -> None:
        """Apply all remaining requests, so that none is on its way any more."""
        self._ripen(lambda _: True)

    def _ripen(self, ripe: Callable[[_Waiting], bool]) -> None:
        landed = [each for each in self._waiting if ripe(each)]
        self._waiting = [each for each in self._waiting if not ripe(each)]
        for each in landed:
            self._world.serve(*each.asked)

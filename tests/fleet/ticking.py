"""A clock for state machines: it stands still until a test advances it."""

import attrs

from enapter_async.clock import Clock
from tests.support.clock import upper


@attrs.define
class Ticking:
    """Monotonic seconds that a test sets; sleeping advances them."""

    now: float = 1000.0
    slept: list[float] = attrs.Factory(list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(monotonic=self.monotonic, sleep=self.sleep, uniform=upper)

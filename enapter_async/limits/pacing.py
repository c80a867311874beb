"""The declared limits on the load that a client puts on the server."""

import attrs

from enapter_async.errors import ConfigurationError, check_number


@attrs.frozen(kw_only=True)
class Pacing:
    """The maximum load of a client; the rate that the server accepts is learned.

    `max_in_flight` limits the exchanges in flight; `max_rate` the requests started per second,
    None for no limit. There are no bursts: starts are evenly spaced, and at most 1.02 times
    `max_rate` + 1 requests start in any second. `max_streams` limits the open streams, such as
    time series; each has a connection of its own.
    """

    max_in_flight: int = 100
    max_rate: float | None = None
    max_streams: int = 16

    def __attrs_post_init__(self) -> None:
        for name in ("max_in_flight", "max_streams"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int):
                raise ConfigurationError(f"Pacing.{name} is {count!r}; use a whole number")
            if count < 1:
                raise ConfigurationError(f"Pacing.{name} is {count}; it must be at least 1")
        if self.max_rate is not None:
            check_number("Pacing.max_rate", self.max_rate, above=True)

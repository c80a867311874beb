"""What a client may ask of the server at once, as its owner declares it."""

import attrs

from enapter_async.errors import ConfigurationError, check_number


@attrs.frozen(kw_only=True)
class Pacing:
    """How much a client asks of the server at most; what the server bears is learned.

    `max_in_flight` bounds the exchanges in flight; `max_rate` the requests per second that
    begin, None for no bound. There is no burst: begun requests are evenly spaced, and at
    most 1.02 times `max_rate` + 1 begin in any second.
    """

    max_in_flight: int = 100
    max_rate: float | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.max_in_flight, bool) or not isinstance(self.max_in_flight, int):
            raise ConfigurationError(
                f"Pacing.max_in_flight is {self.max_in_flight!r}; use a whole number"
            )
        if self.max_in_flight < 1:
            raise ConfigurationError(
                f"Pacing.max_in_flight is {self.max_in_flight}; it must be at least 1"
            )
        if self.max_rate is not None:
            check_number("Pacing.max_rate", self.max_rate, above=True)

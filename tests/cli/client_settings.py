"""Where settings of a client arrive that not every command passes to it directly."""

from tests.cli.noun_options import Seen


def asked_proxy(seen: Seen) -> object:
    """Return the requested proxy; `doctor` resolves it itself."""
    if "examine" in seen.values:
        return seen.values["examine"][0].proxy.value
    return seen.client["proxy"]


def most_at_once(seen: Seen) -> object:
    """Return the highest rate; a worker has a limiter for all of its jobs."""
    limiter = seen.client.get("limiter")
    return seen.client["pacing"].max_rate if limiter is None else limiter.pace().rate

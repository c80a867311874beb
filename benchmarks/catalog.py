"""Who is compared, and what is expected of whom."""

from importlib.util import find_spec
from typing import Final

import attrs

BASELINE: Final = "aiohttp"
"""Every ratio is to this contender, in the same round at the same concurrency."""


@attrs.frozen(kw_only=True)
class Contender:
    """One way to update a device.

    `driver` is a module of `benchmarks.drivers`, `way` what that driver calls its variants.
    `orjson` and `uvloop` say whether the process has them; where False they are kept out even
    if installed, so that a name means the same everywhere. `needs` are the packages that it
    cannot run without, and those without which it would be judged unfairly.
    """

    name: str
    what: str
    driver: str
    way: str = ""
    orjson: bool = False
    uvloop: bool = False
    needs: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """Name the packages that this contender needs and that are not installed."""
        wanted = (
            *self.needs,
            *(("orjson",) if self.orjson else ()),
            *(("uvloop",) if self.uvloop else ()),
        )
        return tuple(name for name in wanted if find_spec(name) is None)


@attrs.frozen(kw_only=True)
class Bound:
    """The least ratio expected of a contender against another, as median of the rounds."""

    contender: str
    against: str
    concurrency: int
    at_least: float


_AIOHTTP: Final = Contender(
    name=BASELINE, what="bare aiohttp: session.patch, response.json()", driver="bare_aiohttp"
)
_SDK: Final = Contender(
    name="sdk", what="this SDK: client.devices.update()", driver="this_sdk", way="direct"
)
_SESSION: Final = Contender(
    name="sdk-session",
    what="this SDK over a ClientSession of the caller",
    driver="this_sdk",
    way="session",
)
_FLEET: Final = Contender(
    name="sdk-fleet", what="this SDK by fleet.apply()", driver="this_sdk", way="fleet"
)
_OFFICIAL: Final = Contender(
    name="official",
    what="the official SDK: enapter, with sniffio",
    driver="official_sdk",
    needs=("enapter", "sniffio"),
)

CONTENDERS: Final = (_AIOHTTP, _SDK, _SESSION, _FLEET, _OFFICIAL)


def _with(contender: Contender, *, orjson: bool = False, uvloop: bool = False) -> Contender:
    extras = [name for name, wanted in (("orjson", orjson), ("uvloop", uvloop)) if wanted]
    return attrs.evolve(
        contender, name="+".join([contender.name, *extras]), orjson=orjson, uvloop=uvloop
    )


VARIANTS: Final = (
    _with(_AIOHTTP, uvloop=True),
    _with(_SDK, orjson=True),
    _with(_SDK, uvloop=True),
    _with(_SDK, orjson=True, uvloop=True),
    _with(_SESSION, orjson=True),
    _with(_SESSION, orjson=True, uvloop=True),
    _with(_FLEET, orjson=True),
    _with(_FLEET, orjson=True, uvloop=True),
)
"""What `--full` adds."""

TARGETS: Final = (
    Bound(contender="sdk", against=BASELINE, concurrency=64, at_least=1.3),
    Bound(contender="sdk", against="official", concurrency=64, at_least=15.0),
)

FLOORS: Final = (
    Bound(contender="sdk", against=BASELINE, concurrency=64, at_least=0.8),
    Bound(contender="sdk", against="official", concurrency=64, at_least=5.0),
)
"""Below these the smoke run fails: far enough under the targets for a noisy machine."""

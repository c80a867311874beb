"""The contenders, the links and the targets."""

import shutil
from importlib.util import find_spec
from typing import Final

import attrs

BASELINE: Final = "aiohttp"
"""Every ratio compares with this contender, in the same round at the same concurrency."""


@attrs.frozen(kw_only=True)
class Link:
    """The link between client and server: TLS, or a latency in seconds on every answer.

    It is measured only at those of the requested concurrencies that are in `concurrencies`, or at
    all if that is empty.
    """

    name: str
    tls: bool = False
    latency: float = 0.0
    concurrencies: tuple[int, ...] = ()


PLAIN: Final = Link(name="plain")
LINKS: Final = (
    PLAIN,
    Link(name="TLS", tls=True, concurrencies=(1, 64)),
    Link(name="20 ms", latency=0.02, concurrencies=(16, 64, 256)),
    Link(name="100 ms", latency=0.1, concurrencies=(16, 64, 256)),
)


@attrs.frozen(kw_only=True)
class Contender:
    """One way to update a device.

    `driver` is a module of `benchmarks.drivers`, and `way` that driver's name for the variant.
    `orjson` and `uvloop` say whether the process uses them; if False, they are hidden even if
    installed, so that a name means the same everywhere. `needs` lists the packages without which it
    cannot run or would be measured unfairly; `program` is a command that `benchmarks.wrk` runs
    instead of a driver.
    """

    name: str
    what: str
    driver: str = ""
    way: str = ""
    orjson: bool = False
    uvloop: bool = False
    needs: tuple[str, ...] = ()
    program: str = ""

    def missing(self) -> tuple[str, ...]:
        """Return the packages, or the program, that this contender needs and that are missing."""
        wanted = (
            *self.needs,
            *(("orjson",) if self.orjson else ()),
            *(("uvloop",) if self.uvloop else ()),
        )
        packages = tuple(name for name in wanted if find_spec(name) is None)
        absent = self.program and shutil.which(self.program) is None
        return (*packages, self.program) if absent else packages


@attrs.frozen(kw_only=True)
class Bound:
    """The most CPU time that a contender's request may take, in units of another contender's.

    It is compared with the median of the rounds.
    """

    contender: str
    against: str
    concurrency: int = 64
    at_most: float


_AIOHTTP: Final = Contender(
    name=BASELINE, what="bare aiohttp: session.patch, response.json()", driver="bare_aiohttp"
)
_SDK: Final = Contender(
    name="sdk", what="this SDK: client.devices.update()", driver="this_sdk", way="direct"
)
_SESSION: Final = Contender(
    name="sdk-session",
    what="this SDK over the caller's ClientSession",
    driver="this_sdk",
    way="session",
)
_FLEET: Final = Contender(
    name="sdk-fleet", what="this SDK by fleet.apply()", driver="this_sdk", way="fleet"
)
_JOURNAL: Final = Contender(
    name="sdk-fleet-journal",
    what="this SDK by fleet.apply(journal=…)",
    driver="this_sdk",
    way="journal",
)
_OFFICIAL: Final = Contender(
    name="official",
    what="the official SDK: enapter, with sniffio",
    driver="official_sdk",
    needs=("enapter", "sniffio"),
)
_HTTPX: Final = Contender(
    name="httpx",
    what="httpx.AsyncClient, with sniffio: patch, response.json()",
    driver="bare_httpx",
    needs=("httpx", "sniffio"),
)
_WRK: Final = Contender(name="wrk", what="wrk, written in C: the limit", program="wrk")

CONTENDERS: Final = (_AIOHTTP, _SDK, _SESSION, _FLEET, _JOURNAL, _OFFICIAL, _HTTPX, _WRK)


def _with(contender: Contender, *, orjson: bool = False, uvloop: bool = False) -> Contender:
    extras = [name for name, wanted in (("orjson", orjson), ("uvloop", uvloop)) if wanted]
    return attrs.evolve(
        contender, name="+".join([contender.name, *extras]), orjson=orjson, uvloop=uvloop
    )


VARIANTS: Final = tuple(
    _with(contender, orjson=orjson, uvloop=uvloop)
    for contender in (_AIOHTTP, _SDK, _SESSION, _FLEET, _JOURNAL)
    for orjson, uvloop in ((True, False), (False, True), (True, True))
)
"""The additional cells of `--full`."""

NAMES: Final = {one.name: one for one in (*CONTENDERS, *VARIANTS)}

LINKED: Final = (
    *(BASELINE, "sdk", "sdk-session", "sdk-fleet", "sdk-fleet-journal", "official", "httpx"),
    *("wrk", "sdk+orjson+uvloop"),
)
"""The contenders measured over other links than the plain one."""

SMOKED: Final = (
    *(BASELINE, "sdk", "sdk-session", "sdk-fleet", "sdk-fleet-journal", "official"),
    *("sdk+orjson", "sdk+orjson+uvloop"),
)
"""The contenders of the smoke run."""

TARGETS: Final = (
    Bound(contender="sdk", against=BASELINE, at_most=0.5),
    Bound(contender="sdk+orjson", against=BASELINE, at_most=0.5),
    Bound(contender="sdk+orjson+uvloop", against=BASELINE, at_most=0.3),
    Bound(contender="sdk-session", against=BASELINE, at_most=1.18),
    Bound(contender="sdk", against="official", at_most=0.04),
    Bound(contender="sdk-fleet", against="sdk", at_most=1.15),
    Bound(contender="sdk-fleet-journal", against="sdk", at_most=1.4),
)

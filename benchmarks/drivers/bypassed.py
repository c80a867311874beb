"""This SDK without exactly one of its safety features, to show the cost of each.

Only for measuring. A bypass replaces methods of one object. If a method no longer exists, that is
an error, so no bypass can silently become ineffective.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import FunctionType
from typing import Any, Final

import aiohttp
import attrs

from benchmarks.decode import lenient_converter
from benchmarks.drivers import NAME, TOKEN, Load, shared_among_tasks
from enapter_async import Client, UpdateDevice
from enapter_async._http import json_text
from enapter_async.hooks import Event
from enapter_async.limits.cohorts import Cohort
from enapter_async.models.devices import Device


class BypassError(Exception):
    """The code to be bypassed has moved: the package has changed."""


@attrs.frozen(kw_only=True)
class Safety:
    """One safety feature: its name, and how a client is opened without it."""

    name: str
    what: str
    opened: "Callable[[AsyncExitStack, str], Any]"
    adds: bool = False
    """Whether the feature is off by default and the variant turns it on."""


class _WithoutAcceptance(UpdateDevice):
    """Accepts an answer about any device."""

    __slots__ = ()

    def accepts(self, result: Any) -> bool:
        return True


class _Unread(UpdateDevice):
    """Returns the plain JSON of an answer, whatever it says."""

    __slots__ = ()

    def fault(self, result: Any) -> str:
        return ""

    def differs(self, result: Any) -> str:
        return ""


def replace(thing: Any, **methods: Any) -> None:
    """Replace methods of one object.

    Raises: BypassError: It has no such method.
    """
    kind = type(thing)
    if missing := [name for name in methods if not hasattr(kind, name)]:
        raise BypassError(f"{kind.__name__} has no {', '.join(missing)}")
    thing.__class__ = type(kind.__name__, (kind,), {"__slots__": (), **methods})


def calling(function: Any, **others: Any) -> Any:
    """Return a copy of a function in which other functions replace those of its module.

    Raises: BypassError: It names no such function.
    """
    if missing := set(others) - set(function.__code__.co_names):
        raise BypassError(f"{function.__name__} does not call {', '.join(sorted(missing))}")
    copy = FunctionType(function.__code__, {**function.__globals__, **others})
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def inside(client: Client, *names: str) -> Any:
    """Return a part of an open client's pipeline, such as its limiter."""
    thing: Any = client._open_pipeline()  # noqa: SLF001 - what is measured lies inside
    for name in names:
        if not hasattr(thing, name):
            raise BypassError(f"{type(thing).__name__} has no {name}")
        thing = getattr(thing, name)
    return thing


async def _client(stack: AsyncExitStack, base_url: str, **settings: Any) -> Client:
    return await stack.enter_async_context(Client(TOKEN, base_url=base_url, **settings))


def _load(
    client: Client,
    concurrency: int,
    operation: type[UpdateDevice] = UpdateDevice,
    device_id_of: Callable[[Any], str] = lambda device: device.id,
) -> Load:
    async def call(device_id: str) -> str:
        return device_id_of(await client.execute(operation(device_id=device_id, name=NAME)))

    return shared_among_tasks(call, concurrency)


CONCURRENCY: Final = 64


async def _whole(stack: AsyncExitStack, base_url: str) -> Load:
    return _load(await _client(stack, base_url), CONCURRENCY)


async def _over_a_session(stack: AsyncExitStack, base_url: str) -> Load:
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    )
    return _load(await _client(stack, base_url, session=session), CONCURRENCY)


async def _without_look(stack: AsyncExitStack, base_url: str) -> Load:
    client = await _client(stack, base_url)

    def take(transport: Any) -> Any:
        resting = transport._connections.resting  # noqa: SLF001 - what is bypassed is private
        return resting.pop() if resting else None

    replace(inside(client, "transport"), _at_hand=take)
    return _load(client, CONCURRENCY)


async def _without_cap(stack: AsyncExitStack, base_url: str) -> Load:
    def at_once(body: Any, _status: int, _max_bytes: int) -> tuple[bytes, str, bool] | None:
        return (body.read_nowait(), "", False) if body.is_eof() else None

    client = await _client(stack, base_url)
    transport = inside(client, "transport")
    replace(transport, exchange=calling(type(transport).exchange, read_at_once=at_once))
    return _load(client, CONCURRENCY)


async def _without_limiter(stack: AsyncExitStack, base_url: str) -> Load:
    client = await _client(stack, base_url)
    permit = Cohort(0, 0.0)
    replace(
        inside(client, "limiter"),
        try_acquire=lambda _self: permit,
        passed=lambda _self, _permit: None,
    )
    return _load(client, CONCURRENCY)


async def _without_turn(stack: AsyncExitStack, base_url: str) -> Load:
    client = await _client(stack, base_url)
    replace(
        inside(client, "turns"),
        try_take=lambda _self, _key: True,
        give=lambda _self, _key: None,
    )
    return _load(client, CONCURRENCY)


async def _without_sweeper(stack: AsyncExitStack, base_url: str) -> Load:
    client = await _client(stack, base_url)
    replace(
        inside(client, "transport", "_connections"), work=lambda _self, _connection, _until: None
    )
    return _load(client, CONCURRENCY)


async def _without_acceptance(stack: AsyncExitStack, base_url: str) -> Load:
    return _load(await _client(stack, base_url), CONCURRENCY, _WithoutAcceptance)


async def _without_types(stack: AsyncExitStack, base_url: str) -> Load:
    client = await _client(stack, base_url)
    replace(
        inside(client, "wire"),
        read=lambda _self, _operation, reply, **_: json_text.decode(reply.body)["device"],
    )
    return _load(client, CONCURRENCY, _Unread, lambda device: str(device["id"]))


async def _without_strictness(stack: AsyncExitStack, base_url: str) -> Load:
    structure = lenient_converter().structure
    client = await _client(stack, base_url)
    replace(
        inside(client, "wire"),
        read=lambda _self, _operation, reply, **_: structure(
            json_text.decode(reply.body)["device"], Device
        ),
    )
    return _load(client, CONCURRENCY)


async def _with_a_hook(stack: AsyncExitStack, base_url: str) -> Load:
    def listen(_event: Event, /) -> None:
        pass

    return _load(await _client(stack, base_url, hooks=[listen]), CONCURRENCY)


WHOLE: Final = Safety(name="everything on", what="the default", opened=_whole)
SAFETIES: Final = (
    Safety(
        name="nothing",
        what="the default compared with itself, which shows the noise",
        opened=_whole,
    ),
    Safety(
        name="phase of a failure known",
        what="DirectTransport compared with `ClientSession.request`",
        opened=_over_a_session,
    ),
    Safety(
        name="check for stale bytes",
        what="the poll before each write, and whether the connection is open",
        opened=_without_look,
    ),
    Safety(
        name="size cap",
        what="reading the body up to a limit, and counting 1xx answers",
        opened=_without_cap,
    ),
    Safety(name="limiter", what="limit in flight, pace after 429", opened=_without_limiter),
    Safety(name="writer's turn", what="one writer per device", opened=_without_turn),
    Safety(
        name="deadline's sweeper",
        what="the watch for late exchanges",
        opened=_without_sweeper,
    ),
    Safety(
        name="owner of the answer",
        what="the check of the answer's id",
        opened=_without_acceptance,
    ),
    Safety(
        name="reading the answer at all",
        what="frozen, checked types instead of a plain dict: status, media type, envelope, fields",
        opened=_without_types,
    ),
    Safety(
        name="strictness",
        what="the same classes through a converter that coerces and checks nothing",
        opened=_without_strictness,
    ),
    Safety(
        name="a hook that listens",
        what="there is none by default; this one does nothing",
        opened=_with_a_hook,
        adds=True,
    ),
)

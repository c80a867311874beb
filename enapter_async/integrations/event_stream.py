"""Server-sent events in a form that any framework can send.

Source: the HTML standard, "Server-sent events".
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import attrs

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": MEDIA_TYPE,
    "Cache-Control": "no-store",
    # nginx would hold back events until its buffer is full.
    "X-Accel-Buffering": "no",
}
LAST_EVENT_ID: Final = "Last-Event-ID"
HEARTBEAT_SECONDS: Final = 15.0
HEARTBEAT: Final = b": still here\n\n"
RETRY: Final = b"retry: 2000\n\n"
"""How many milliseconds a browser waits before it reconnects a lost stream."""

_BREAKS: Final = ("\n", "\r", "\0")


@attrs.frozen(kw_only=True)
class StreamEvent:
    """One event; a reconnecting browser sends its `id` as Last-Event-ID.

    `kind` is the event name that the page listens for; `data` is sent as JSON.
    """

    id: str
    kind: str
    data: Mapping[str, Any]


def encode(event: StreamEvent) -> bytes:
    """Return an event as bytes; JSON without line breaks fits in one `data:` line.

    Raises:
        ValueError: the id or the kind contains a line break or NUL.
    """
    for text in (event.id, event.kind):
        if any(sign in text for sign in _BREAKS):
            raise ValueError("an event's id and kind must each be one line")
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    safe = data.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return f"id: {event.id}\nevent: {event.kind}\ndata: {safe}\n\n".encode()


async def encoded(
    events: AsyncGenerator[StreamEvent, None], *, heartbeat: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[bytes, None]:
    """Yield events as they arrive, and a comment after every `heartbeat` seconds of silence.

    The comment keeps proxies from closing the connection, and detects a disconnected browser.
    Events are requested one at a time: a slow reader receives fewer, and none are queued for it.
    `events` is always closed at the end.
    """
    yield RETRY
    following: asyncio.Task[StreamEvent] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({following}, timeout=heartbeat)
            if not done:
                yield HEARTBEAT
                continue
            try:
                event = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield encode(event)
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        await events.aclose()

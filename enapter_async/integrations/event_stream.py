"""Server-sent events, as any framework can send them.

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
    # nginx would keep events back until its buffer is full.
    "X-Accel-Buffering": "no",
}
LAST_EVENT_ID: Final = "Last-Event-ID"
HEARTBEAT_SECONDS: Final = 15.0
HEARTBEAT: Final = b": still here\n\n"
RETRY: Final = b"retry: 2000\n\n"
"""After how many milliseconds a browser comes again when its stream was cut."""

_BREAKS: Final = ("\n", "\r", "\0")


@attrs.frozen(kw_only=True)
class StreamEvent:
    """One event: `id` is what a browser sends as Last-Event-ID when it comes again.

    `kind` is the name that the page listens for; `data` becomes JSON.
    """

    id: str
    kind: str
    data: Mapping[str, Any]


def encode(event: StreamEvent) -> bytes:
    """Write an event; JSON has no line break in it, so that one `data:` line holds it.

    Raises:
        ValueError: the id or the kind has a line break, or NUL.
    """
    for text in (event.id, event.kind):
        if any(sign in text for sign in _BREAKS):
            raise ValueError("an event's id and kind are one line each")
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    safe = data.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return f"id: {event.id}\nevent: {event.kind}\ndata: {safe}\n\n".encode()


async def encoded(
    events: AsyncGenerator[StreamEvent, None], *, heartbeat: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[bytes, None]:
    """Write events as they come, and a comment after each `heartbeat` seconds of silence.

    The comment keeps proxies from closing the connection, and finds out that a browser is
    gone. One event at a time is asked for: whoever reads slowly is told less often, and
    nothing is kept for them. `events` are closed at the end, however it comes.
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

"""A server of time series and of frames, for `benchmarks.streaming`; prints its port.

    python -m benchmarks.stream_server

A time series has one row for each step of the request. Its cells repeat after `BLOCK` rows, so that
writing them takes little time. A websocket sends as many frames as its address specifies.
"""

import asyncio
import json
from datetime import datetime
from typing import Final

from aiohttp import web

BLOCK: Final = 1_000
TYPES: Final = "float,float,float,integer,string"
ATTRIBUTES: Final = ("power", "voltage", "current", "total_energy", "status")
AT_ONCE: Final = 500
"""How many rows are written, or frames sent, before others may run."""


def cells(number: int) -> str:
    """Return the cells of a row after its time; every tenth row has an empty one."""
    empty = "" if number % 10 == 0 else f"{number % 977 / 8}"
    return f"{number / 8},{230 + number % 7 / 4},{empty},{number * 3},running\r\n"


_CELLS: Final = [cells(number) for number in range(BLOCK)]


async def timeseries(request: web.Request) -> web.StreamResponse:
    """Send the rows of a query."""
    asked = await request.json()
    start, end = (int(datetime.fromisoformat(asked[key]).timestamp()) for key in ("from", "to"))
    device = asked["telemetry"][0]["device"]
    response = web.StreamResponse(headers={"X-Enapter-Timeseries-Data-Types": TYPES})
    response.content_type = "text/csv"
    response.enable_chunked_encoding()
    await response.prepare(request)
    names = ",".join(f"device={device} telemetry={name}" for name in ATTRIBUTES)
    await response.write(f"ts,{names}\r\n".encode())
    for first in range(start, end, AT_ONCE):
        rows = range(first, min(first + AT_ONCE, end))
        await response.write("".join(f"{ts},{_CELLS[ts % BLOCK]}" for ts in rows).encode())
    return response


async def frames(request: web.Request) -> web.WebSocketResponse:
    """Send as many frames of telemetry as the name of the device specifies."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    count = int(request.match_info["device"].removeprefix("frames-"))
    frame = {"power": 12.5, "voltage": 231.25, "status": "running", "total_energy": 1200}
    for number in range(count):
        await socket.send_str(json.dumps({"timestamp": number, **frame}))
    await socket.receive()
    return socket


async def serve() -> None:
    """Serve on a free port of 127.0.0.1 until the process ends."""
    application = web.Application()
    application.router.add_post("/v3/telemetry/query_timeseries", timeseries)
    application.router.add_get("/v3/devices/{device}/telemetry", frames)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())

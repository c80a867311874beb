"""A headless Chromium, driven by its DevTools protocol over an aiohttp websocket."""

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
NO_CHROMIUM: Final = "no headless Chromium is installed"

_SECONDS: Final = 60.0
_OPTIONS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0",
)  # fmt: skip
_BAD_LEVELS: Final = ("error", "warning", "assert")
# The page itself reports changes, so that nobody polls it.
_UNTIL: Final = """new Promise((resolve) => {
  const true_now = () => { try { return Boolean(%s); } catch { return false; } };
  if (true_now()) { resolve(true); return; }
  const observer = new MutationObserver(() => {
    if (true_now()) { observer.disconnect(); resolve(true); }
  });
  const all = { attributes: true, characterData: true, childList: true, subtree: true };
  observer.observe(document, all);
})"""


class Tab:
    """One page of the browser, and its console's complaints."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def listen(self) -> None:
        """Process the browser's messages until it ends."""
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._asked.pop(told["id"]).set_result(told)
            else:
                self._take(told["method"], told["params"])

    async def ask(self, method: str, **parameters: Any) -> Any:
        """Send one command, and return its result."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(
            json.dumps({"id": number, "method": method, "params": parameters})
        )
        async with asyncio.timeout(_SECONDS):
            told = await answer
        assert "error" not in told, (method, told["error"])
        return told["result"]

    async def open(self, url: str) -> None:
        """Go to a page, even if it is already shown, and wait until it is loaded."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=url)
        async with asyncio.timeout(_SECONDS):
            await self._loaded.wait()

    async def reload(self) -> None:
        """Reload the page."""
        self._loaded.clear()
        await self.ask("Page.reload")
        async with asyncio.timeout(_SECONDS):
            await self._loaded.wait()

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaiting it if it is a promise."""
        told = await self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until the expression is true on the page."""
        try:
            await self.evaluate(_UNTIL % condition)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"never came true: {condition}\n{shown}") from None

    async def press(self, selector: str) -> None:
        """Click on a visible element."""
        await self.until(f"document.querySelector('{selector}').checkVisibility()")
        place = await self.evaluate(
            f"(() => {{ const it = document.querySelector('{selector}');"
            " it.scrollIntoView({ block: 'center' }); const box = it.getBoundingClientRect();"
            " return { x: box.x + box.width / 2, y: box.y + box.height / 2 }; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask(
                "Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place
            )

    async def strike(self, key: str) -> None:
        """Press a key, such as Tab or Enter, on whatever has the focus."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", **told, **text)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

    async def choose(self, selector: str, file: Path) -> None:
        """Choose a file in a form."""
        root = (await self.ask("DOM.getDocument"))["root"]["nodeId"]
        node = await self.ask("DOM.querySelector", nodeId=root, selector=selector)
        await self.ask("DOM.setFileInputFiles", files=[str(file)], nodeId=node["nodeId"])

    def _take(self, method: str, told: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in _BAD_LEVELS:
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in _BAD_LEVELS:
                self.complaints.append(str(told["entry"]))


@contextlib.asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """Start a browser with its own folder, and make sure that it has ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *_OPTIONS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            port = await _port(folder / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session, _tab(session, port) as tab:
            yield tab
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let it end its own processes, and kill it if it does not."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    """Wait until the browser has written down its port."""
    while process.returncode is None:
        if (port := _written(file)) is not None:
            return port
        await asyncio.sleep(0.02)
    raise AssertionError(f"the browser ended with {process.returncode}")


def _written(file: Path) -> int | None:
    lines = file.read_text("ascii").splitlines() if file.exists() else []
    return int(lines[0]) if len(lines) == 2 else None


@contextlib.asynccontextmanager
async def _tab(session: aiohttp.ClientSession, port: int) -> AsyncIterator[Tab]:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
        found = [each for each in await response.json() if each["type"] == "page"]
    async with session.ws_connect(found[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        tab = Tab(socket)
        listening = asyncio.create_task(tab.listen())
        try:
            for domain in ("Page", "Runtime", "Log"):
                await tab.ask(f"{domain}.enable")
            yield tab
        finally:
            listening.cancel()
            await asyncio.wait({listening})

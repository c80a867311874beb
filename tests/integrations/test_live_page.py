"""The page of the examples, observed in a browser while its job runs."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from enapter_async.emulator import Drop, Emulator, World
from enapter_async.fleet import State
from enapter_async.integrations.jobs import RESUME_OPTIONS
from tests.fleet.fleets import fleet_of, uuid
from tests.integrations.backends import serving_aiohttp
from tests.integrations.browser import CHROMIUM, NO_CHROMIUM, Tab, chromium
from tests.integrations.test_examples import APPS, EXAMPLES, backend
from tests.integrations.test_workers import told_by

DEVICES = 158
REFUSED = 2
TOTAL = DEVICES + REFUSED
# The examples' waves are 1, 10, "10%" and the rest; the refused ones begin the last.
WAVES = (1, 10, 16, 133)


class Dam:
    """Stands in front of the emulator, and passes as many writes as it is told to."""

    def __init__(self, emulator: Emulator) -> None:
        self.token = emulator.token
        self.base_url = ""
        self._emulator = emulator
        self._places = asyncio.Semaphore(0)
        self._open = False

    def let(self, number: int) -> None:
        """Pass that many more, in order of arrival."""
        for _ in range(number):
            self._places.release()

    def open(self) -> None:
        """Pass all from now on."""
        self._open = True
        self.let(TOTAL)

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator["Dam"]:
        async with aiohttp.ClientSession() as session:

            async def carry(request: web.Request) -> web.Response:
                body = await request.read()
                if request.method != "GET" and not self._open:
                    await self._places.acquire()
                url = self._emulator.base_url + request.path_qs
                async with session.request(
                    request.method, url, data=body, headers=request.headers
                ) as answer:
                    told = {"Content-Type": answer.headers["Content-Type"]}
                    return web.Response(
                        status=answer.status, body=await answer.read(), headers=told
                    )

            app = web.Application()
            app.router.add_route("*", "/{path:.*}", carry)
            async with serving_aiohttp(app) as self.base_url:
                yield self


def operations() -> str:
    """Rename all; the last wave begins with two that want another device's slug."""
    rows = [f"update,{uuid(number)},New {number}," for number in range(DEVICES)]
    refused = [f"update,{uuid(number)},,device-{number + 5}" for number in range(REFUSED)]
    head = sum(WAVES[:3])
    return "\n".join(["operation,device_id,name,slug", *rows[:head], *refused, *rows[head:]])


def ended(number: int) -> str:
    """Return a JavaScript condition: that many operations have ended."""
    return f"$('tiles').innerText.startsWith('{number}\\nof {TOTAL} ended')"


async def tiles(tab: Tab) -> dict[str, int]:
    """Return the figures shown, keyed by the first word of their labels."""
    shown = await tab.evaluate(
        "[...document.querySelectorAll('#tiles div')].map((each) => each.innerText.split('\\n'))"
    )
    return {label.split(":")[0]: int(value) for value, label in shown}


async def waves(tab: Tab) -> list[list[str]]:
    """Return the waves shown, each with its state."""
    shown: list[list[str]] = await tab.evaluate(
        "[...document.querySelectorAll('.wave')].map((each) =>"
        " [each.firstChild.textContent, each.lastChild.textContent])"
    )
    return shown


async def steps(tab: Tab) -> list[str]:
    """Return the next steps offered."""
    shown: list[str] = await tab.evaluate(
        "[...$('steps').querySelectorAll('button')].map((each) => each.id)"
    )
    return shown


async def resumed_by_keyboard(tab: Tab) -> list[str]:
    """Resume a stopped job without a mouse; return what had the focus on the way."""
    await tab.evaluate("$('source').focus()")
    reached: list[str] = []
    while "resume" not in reached and len(reached) < 9:
        await tab.strike("Tab")
        reached.append(await tab.evaluate("document.activeElement.id"))
    await tab.strike("Enter")
    return reached


async def on_a_phone(tab: Tab) -> None:
    """Emulate a phone, behind a proxy that names its user."""
    await tab.ask("Network.enable")
    await tab.ask("Network.setExtraHTTPHeaders", headers={"X-User": "ann"})
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    await tab.ask("Emulation.setDeviceMetricsOverride", **phone)


async def check_files(tab: Tab) -> None:
    """Download the results, and follow the link to the report."""
    table = "fetch($('results-csv').href).then((answer) => answer.text())"
    assert (await tab.evaluate(table)).count("applied") == DEVICES
    await tab.press("#report")
    await tab.until("document.querySelector('h1')?.textContent.startsWith('Fleet run')")
    await tab.until("document.body.innerText.includes('ann')")


async def applied_when_stopped(tab: Tab) -> int:
    """Check that a stopped job is shown as stopped; return how many were applied."""
    shown = await tiles(tab)
    assert shown["held"] > 0
    assert shown["applied"] + shown["held"] == DEVICES
    # Held operations have not ended, and do not fill the bar.
    assert shown[f"of {TOTAL} ended"] == TOTAL - shown["held"]
    assert await tab.evaluate("$('bar').lastChild.style.background") == ""
    assert await steps(tab) == ["resume", "retry_failed"]
    assert await tab.evaluate("$('stopped').textContent") == "Stopped: it was stopped"
    return shown["applied"]


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
async def test_a_browser_shows_a_job_while_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text(operations(), "utf-8")
    async with (
        Emulator(world=World(fleet_of(DEVICES))) as emulator,
        Dam(emulator).standing() as dam,
        backend(APPS[1], dam, tmp_path / "jobs") as (_, url),
        chromium(tmp_path / "browser") as tab,
    ):
        await on_a_phone(tab)
        await tab.open(url)
        assert await tab.evaluate("$('job').hidden"), "there is no job yet"
        await tab.choose("#file", file)
        await tab.press("#begin button")

        await tab.until("$('phase').textContent === 'running'")
        assert await tab.evaluate("$('source').textContent") == "names.csv"
        assert (await tab.evaluate("$('when').textContent")).endswith(" by ann")
        assert await tab.evaluate("$('results').hidden"), "there are none yet"
        await tab.until("document.querySelectorAll('.wave').length === 1")
        assert await waves(tab) == [["1 of 4", "0 of 1"]]

        # One for the first wave, four of the second's ten.
        dam.let(1 + 4)
        await tab.until(ended(5))
        assert await waves(tab) == [["1 of 4", "passed, 1 read back"], ["2 of 4", "4 of 10"]]
        assert await tab.evaluate("$('troubles-part').hidden")
        assert await steps(tab) == []

        # To the end of the third wave, and eight of the last: two are refused.
        dam.let(6 + 16 + 8)
        await tab.until(ended(35))
        await tab.until("document.querySelectorAll('#troubles li').length === 2")
        shown = await tiles(tab)
        assert (shown["applied"], shown["failed"]) == (33, 2)
        assert 0 < shown["a second"] <= 35
        assert [each[1] for each in await waves(tab)] == [
            "passed, 1 read back",
            "passed, 10 read back",
            "passed",
            "8 of 133",
        ]
        troubles = await tab.evaluate("$('troubles').innerText")
        assert uuid(0) in troubles
        assert uuid(1) in troubles
        assert await tab.evaluate("$('rate').querySelectorAll('path').length") == 2

        await tab.press("#stop")
        await tab.until("$('phase').textContent === 'stopping'")
        assert await tab.evaluate("$('stop').hidden")
        dam.open()
        await tab.until("$('phase').textContent === 'stopped'")
        assert await applied_when_stopped(tab) == emulator.world.log.count("update")
        await tab.until("$('jobs').innerText.includes('stopped')")

        assert await tab.evaluate("document.documentElement.scrollWidth") == 390, "all is in view"
        assert await resumed_by_keyboard(tab) == [
            "report",
            "results-csv",
            "results-jsonl",
            "resume",
        ]
        await tab.until("$('phase').textContent === 'ended'")
        assert await tiles(tab) | {"a second": 0} == {
            f"of {TOTAL} ended": TOTAL,
            "a second": 0,
            "applied": DEVICES,
            "failed": REFUSED,
        }
        assert emulator.world.log.count("update") == DEVICES, "nothing was done twice"
        assert await tab.evaluate("$('stop').hidden")
        assert await steps(tab) == ["retry_failed"]

        # A later viewer sees the same.
        await tab.reload()
        await tab.until("$('phase').textContent === 'ended'")
        await tab.until("document.querySelectorAll('#troubles li').length === 2")
        assert (await tiles(tab))["applied"] == DEVICES
        await check_files(tab)
        assert tab.complaints == []


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
async def test_a_browser_continues_past_a_wave_that_did_not_pass(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    rows = [f"update,{uuid(0)},,device-5,", *(f"update,{uuid(n)},New {n},," for n in range(1, 15))]
    rows += [f"generate_config,{uuid(15)},,,MQTT"]
    file.write_text("\n".join(["operation,device_id,name,slug,protocol", *rows]), "utf-8")
    async with (
        Emulator(world=World(fleet_of(16))) as emulator,
        backend(APPS[0], emulator, tmp_path / "jobs") as (_, url),
        chromium(tmp_path / "browser") as tab,
    ):
        await tab.open(url)
        await tab.choose("#file", file)
        await tab.press("#begin button")
        await tab.until("$('phase').textContent === 'stopped' && $('steps').children.length")
        assert await steps(tab) == ["resume", "retry_failed", "accept_wave"]
        assert emulator.world.log.count("update") == 0
        emulator.faults.add(Drop(after_effect=True), device=uuid(15), method="POST")
        await tab.press("#accept_wave")
        await tab.until("$('phase').textContent === 'ended'")
        assert await steps(tab) == ["retry_failed", "regenerate", "skip"]
        assert (await waves(tab))[-1][1] == "over, 1 not done"
        await tab.press("#skip")
        await tab.until("$('steps').querySelectorAll('button').length === 1")
        emulator.world.change(uuid(5), slug="another")
        await tab.press("#retry_failed")
        await tab.until("$('phase').textContent === 'ended' && $('steps').children.length === 0")
        assert emulator.world.log.count("generate_config") == 1, "it was skipped"
        assert emulator.world.log.count("update") == 15
        assert tab.complaints == []


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
async def test_a_browser_stops_the_job_of_another_worker(tmp_path: Path) -> None:
    async with (
        Emulator(world=World(fleet_of(DEVICES))) as emulator,
        Dam(emulator).standing() as dam,
        backend(APPS[0], dam, tmp_path / "jobs") as (_, at_work),
        backend(APPS[1], dam, tmp_path / "jobs") as (_, url),
        chromium(tmp_path / "browser") as tab,
        aiohttp.ClientSession() as session,
    ):
        hostile = "</h2><script>document.title='taken'</script>.csv"
        headers, named = {"Content-Type": "text/csv"}, {"source": hostile}
        where = f"{at_work}/jobs"
        async with session.post(
            where, data=operations(), headers=headers, params=named
        ) as response:
            job = (await response.json())["id"]
        await tab.open(url)
        await tab.until("$('phase').textContent === 'running elsewhere'")
        assert await tab.evaluate("$('source').textContent") == hostile
        assert await tab.evaluate("document.title") == "Fleet jobs"
        await tab.press("#stop")
        async with asyncio.timeout(60):
            while (await told_by(session, at_work, job))["phase"] != "stopping":  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        dam.open()
        await tab.until("$('phase').textContent === 'stopped'")
        assert await steps(tab) == ["resume"]
        assert tab.complaints == []


def test_the_page_has_words_for_each_state_and_each_next_step() -> None:
    page = (EXAMPLES / "job.html").read_text("utf-8")
    for name in (*State, *RESUME_OPTIONS):
        assert re.search(rf"\b{name}: \[?\"\w", page), name
    for state in State:
        assert page.count(f"--{state}: #") == 2, "in the light and in the dark theme"

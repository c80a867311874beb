"""The connection to the server on the command line: an unreachable host, and a proxy."""

import asyncio

from yarl import URL

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator
from tests.cli.conftest import Run
from tests.support.proxies import Proxy


def test_an_unreachable_host_is_named_with_the_command_that_finds_out_more(run: Run) -> None:
    result = run("devices", "list", "--base-url", "http://127.0.0.1:1", "--attempts", "1")
    assert result.exit_code == Exit.FAILED
    lines = result.stderr.splitlines()
    assert lines[0].startswith("enapter-async: no connection to 127.0.0.1:1 could be made: ")
    assert lines[1] == "`enapter-async doctor` shows which step of the connection fails"


async def test_the_command_line_goes_through_a_proxy(
    run: Run, emulator: Emulator, environment: dict[str, str]
) -> None:
    async with Proxy(URL(emulator.base_url).port or 0) as proxy:
        result = await asyncio.to_thread(run, "devices", "list", "--proxy", proxy.url)
        assert result.exit_code == Exit.DONE, result.output
        assert len(result.stdout.splitlines()) > 3
        assert len(proxy.asked) == 1
        environment["http_proxy"] = proxy.url
        environment["ENAPTER_HTTP_API_PROXY"] = "environment"
        await asyncio.to_thread(run, "devices", "list")
        assert len(proxy.asked) == 2

"""The pytest plugin as users run it: in a separate pytest."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

EMULATOR_TEST = """
    async def test_it(enapter_emulator):
        import aiohttp

        headers = {"X-Enapter-Auth-Token": enapter_emulator.token}
        async with aiohttp.request(
            "GET", f"{enapter_emulator.base_url}/v3/devices", headers=headers
        ) as response:
            assert (await response.json())["total_count"] == len(enapter_emulator.world) == 200
"""

CLIENT_TEST = """
    async def test_it(enapter_client, enapter_emulator):
        device = next(d for d in enapter_emulator.world if d.permits("OWNER"))
        renamed = await enapter_client.devices.update(device.id, name="Boiler")
        assert renamed.name == "Boiler"
        assert enapter_emulator.world.count("update", device_id=device.id) == 1
"""

SETTINGS_TEST = """
    import pytest

    @pytest.fixture
    def enapter_emulator_settings():
        return {"devices": 3, "token": "mine", "timestamps": "rfc3339"}

    async def test_it(enapter_emulator):
        assert len(enapter_emulator.world) == 3
        assert enapter_emulator.token == "mine"
"""

STRICT_TEST = f"""
    import pytest
    pytestmark = pytest.mark.asyncio
{EMULATOR_TEST}
"""

ANYIO_TEST = f"""
    import pytest
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
{CLIENT_TEST}
"""

SYNCHRONOUS_TEST = """
    import asyncio
    from urllib.request import urlopen, Request

    async def number(client):
        async with client:
            return len([device async for device in client.devices.list()])

    def test_it(enapter_emulator):
        from enapter_async import Client

        client = Client(enapter_emulator.token, base_url=enapter_emulator.base_url)
        assert asyncio.run(number(client)) == 200
        headers = {"X-Enapter-Auth-Token": enapter_emulator.token}
        url = f"{enapter_emulator.base_url}/v3/devices"
        with urlopen(Request(url, headers=headers), timeout=30) as answer:
            assert answer.status == 200
"""

# Runs first: each of the other tests imports what it needs inside its function.
NOT_USED_TEST = """
    import sys

    def test_it():
        assert "enapter_async.emulator.plugin" in sys.modules
        assert "aiohttp" not in sys.modules
"""


WITHOUT_PYTEST_ASYNCIO = """
    class Uninstalled:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "pytest_asyncio":
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Uninstalled())
"""


def run(folder: Path, *tests: str, mode: str | None = "auto") -> tuple[int, str]:
    """Run test files in a separate pytest; without pytest-asyncio if `mode` is None."""
    for number, test in enumerate(tests):
        file = folder / f"test_users_own_{number}.py"
        file.write_text(textwrap.dedent(test), encoding="utf-8")
    program = ["import sys", "import pytest", "sys.exit(pytest.main(sys.argv[1:]))"]
    if mode is None:
        program.insert(1, textwrap.dedent(WITHOUT_PYTEST_ASYNCIO))
        chosen = ["-p", "no:asyncio"]
    else:
        scope = "asyncio_default_fixture_loop_scope=function"
        chosen = ["-o", f"asyncio_mode={mode}", "-o", scope]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [
            *(sys.executable, "-c", "\n".join(program)),
            *("-q", "-rs", "-W", "error", "-p", "no:cacheprovider", "-c", "/dev/null"),
            *("-p", "no:hypothesispytest"),  # takes most of a start, and no test here uses it
            *(f"--rootdir={folder}", *chosen, str(folder)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_works_in_auto_mode_and_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    code, output = run(tmp_path, NOT_USED_TEST, EMULATOR_TEST, CLIENT_TEST, SETTINGS_TEST)
    assert "4 passed" in output, output
    assert code == 0


def test_it_works_in_strict_mode_and_reports_anyio_beside_it(tmp_path: Path) -> None:
    code, output = run(tmp_path, STRICT_TEST, SYNCHRONOUS_TEST, ANYIO_TEST, mode="strict")
    assert "2 passed, 1 error" in output, output
    assert "not on anyio's" in output
    assert code == 1


def test_without_pytest_asyncio_it_skips_another_backend_of_anyio_and_reports_what_is_missing(
    tmp_path: Path,
) -> None:
    on_trio = ANYIO_TEST.replace('"asyncio"', '"trio"')
    sync = "def test_it(enapter_client):\n    pass\n"
    tests = (NOT_USED_TEST, ANYIO_TEST, SYNCHRONOUS_TEST, on_trio, sync)
    code, output = run(tmp_path, *tests, mode=None)
    assert "3 passed, 1 skipped, 1 error" in output, output
    assert "only on asyncio" in output
    assert "install pytest-asyncio" in output
    assert code == 1


def test_it_is_installed_with_the_package(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.hasplugin("enapter_async")

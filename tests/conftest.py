"""Fixtures and hooks for tests of all layers."""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from enapter_async import Client, RetryPolicy
from enapter_async.emulator import Emulator, World
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.postgres.schema import prepare
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.support.budget import EXAMPLES, LONG, LONG_FACTOR
from tests.support.clock import FakeClock
from tests.support.postgres import PostgresServer
from tests.support.postgres import is_installed as postgres_is_installed
from tests.support.server import FaultServer
from tests.support.tls import NOBODY, OPENSSL, Certificates
from tests.support.ways import leave_out_other_ways, mark_other_ways

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# No example is judged by its duration, which depends on the machine; see `budget` for more.
settings.register_profile(
    "unhurried",
    max_examples=EXAMPLES * LONG_FACTOR if LONG else EXAMPLES,
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


LONGEST: Final = (
    "tests/distributed/test_engines.py",
    "tests/fleet/test_growth.py",
    "tests/fleet/test_kills.py",
    "tests/integrations/test_examples.py",
    "tests/integrations/test_live_page.py",
    "tests/integrations/test_replicas.py",
    "tests/integrations/test_workers.py",
    "tests/test_readme.py",
)
"""Files of tests that take seconds."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that the main run leaves out, before pytest selects by marker.

    Tests that take seconds come first, so that no process still runs one when the others have
    ended.
    """
    mark_other_ways(items)
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Create no tests that the main run leaves out: they would be half of the total."""
    if "not other_way" in metafunc.config.option.markexpr:
        leave_out_other_ways(metafunc)


gc.disable()
"""Off during collection, which creates thousands of tests and frees none, so that repeated garbage
collection would take most of the time; `pytest_collection_finish` turns it on again."""


sys.dont_write_bytecode = False
"""Keep what is compiled, whatever PYTHONDONTWRITEBYTECODE says: without it each run compiles every
test again, and each started process the package."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let processes without tests take over those of others, unless told otherwise."""
    if config.getoption("numprocesses", default=None) and config.option.dist == "no":
        config.option.dist = "worksteal"


for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
"""Signals that the shell ignores in a background job, or nohup, reach the tests' processes again:
many of them are interrupted."""


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start two workers for each core: tests wait nearly half of their time."""
    cores = yield
    return cores if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else 2 * cores


def pytest_collection_finish() -> None:
    """Turn garbage collection on from here, but not for the collected tests."""
    gc.freeze()
    gc.enable()


@pytest.fixture(params=["direct", "session"])
def transport(request: pytest.FixtureRequest) -> str:
    """Each transport in turn."""
    kind: str = request.param
    return kind


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer() as fault_server:
        yield fault_server


@pytest.fixture
def world() -> World:
    """Return the devices of the emulator; files that need others have a `world` of their own."""
    return World.seeded(20, 1, role="OWNER")


@pytest.fixture
async def emulator(world: World) -> AsyncIterator[Emulator]:
    async with Emulator(world=world) as running:
        yield running


@pytest.fixture
def policy() -> RetryPolicy:
    """Return the retry policy of the client; the same applies to it."""
    return RetryPolicy()


@pytest.fixture
async def client(emulator: Emulator, policy: RetryPolicy) -> AsyncIterator[Client]:
    async with Client(emulator.token, base_url=emulator.base_url, retry=policy) as opened:
        yield opened


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if not postgres_is_installed():
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer.running() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The address of an empty database."""
    return postgres_server.empty_database()


@pytest.fixture
def database(postgres: str) -> str:
    """The address of a database with the tables for journals."""
    with closing(connect(Address.parse(postgres, with_run=False))) as connection:
        prepare(connection)
    return postgres


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_yours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate the tests from the configuration file and variables of the user who runs them.

    Start every process without the machine's authorities, because reading them takes a fifth of its
    start.
    """
    nothing = tmp_path_factory.mktemp("config") / "config.toml"
    nothing.touch()
    authorities = nothing.with_name("authorities.pem")
    authorities.write_text(NOBODY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENAPTER_CONFIG", str(nothing))
        patch.setenv("SSL_CERT_FILE", str(authorities))
        patch.setenv("ENAPTER_STATE_DIR", str(nothing.parent / "state"))
        for name in ("ENAPTER_PROFILE", "ENAPTER_LOG", "PYTHONDONTWRITEBYTECODE"):
            patch.delenv(name, raising=False)
        yield

"""A small world, and the API over it without a network."""

import pytest

from enapter_async.emulator import World
from enapter_async.emulator.routes import Routes
from tests.emulator.fleets import small_world
from tests.emulator.test_routes import TOKENS


@pytest.fixture
def world() -> World:
    return small_world()


@pytest.fixture
def routes(world: World) -> Routes:
    return Routes(world, tokens=TOKENS)

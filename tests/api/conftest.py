"""The emulated API of the tests of methods."""

import pytest

from enapter_async.emulator import World
from tests.emulator.fleets import small_world


@pytest.fixture
def world() -> World:
    return small_world()

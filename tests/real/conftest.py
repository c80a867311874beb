"""Real servers are needed here; if one is missing, its tests are skipped with its name."""

import pytest

from tests.real.nginx import PROGRAM


@pytest.fixture(autouse=True)
def _nginx_is_installed() -> None:
    if PROGRAM is None:
        pytest.skip("nginx is not installed")

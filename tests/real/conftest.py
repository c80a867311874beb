"""Real servers are needed here; a test is skipped by name if its server is not installed."""

import pytest

from tests.real.nginx import PROGRAM


@pytest.fixture(autouse=True)
def _nginx_is_installed() -> None:
    if PROGRAM is None:
        pytest.skip("nginx is not installed")

"""Real servers are needed here; what is not installed is skipped by name."""

import pytest

from tests.real.nginx import PROGRAM


@pytest.fixture(autouse=True)
def _nginx_is_installed() -> None:
    if PROGRAM is None:
        pytest.skip("nginx is not installed")

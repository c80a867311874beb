"""Only its own integration imports a framework."""

import pytest

from tests.test_house import loaded_by

FRAMEWORKS = {"starlette", "fastapi", "uvicorn", "aiohttp.web", "opentelemetry"}
UNBOUND = "import enapter_async.integrations.answers, enapter_async.integrations.jobs"


@pytest.mark.parametrize(
    ("code", "brings"),
    [
        (f"from enapter_async import *; from enapter_async import fleet; {UNBOUND}", set()),
        ("import enapter_async.integrations.aiohttp_web", {"aiohttp.web"}),
        ("import enapter_async.integrations.starlette", {"starlette"}),
    ],
)
def test_only_its_own_integration_imports_a_framework(code: str, brings: set[str]) -> None:
    loaded = loaded_by(code)
    assert "enapter_async" in loaded
    assert FRAMEWORKS & loaded == brings
    assert brings or "enapter_async.integrations.starlette" not in loaded

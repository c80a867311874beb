"""Each test of one call is run on both event loops and with both JSON libraries."""

from tests.support.ways import json_library, pytest_asyncio_loop_factories

__all__ = ["json_library", "pytest_asyncio_loop_factories"]

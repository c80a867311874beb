"""Resolvers for tests: they find every host on this machine, find none, or never answer."""

import asyncio
import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


class Here(AbstractResolver):
    """Resolves every name to this machine and to `port`."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host: str, *arguments: Any, **options: Any) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=self._port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


class NoSuchName(AbstractResolver):
    async def resolve(self, *arguments: Any, **options: Any) -> list[ResolveResult]:
        raise OSError("Name or service not known")

    async def close(self) -> None:
        pass


class NeverAnswers(AbstractResolver):
    async def resolve(self, *arguments: Any, **options: Any) -> list[ResolveResult]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def close(self) -> None:
        pass

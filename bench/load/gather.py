"""Concurrent coroutines that must all succeed."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

R = TypeVar("R")


async def gather_all(work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """The results of all coroutines, in order. The first exception cancels the others and is raised unchanged."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

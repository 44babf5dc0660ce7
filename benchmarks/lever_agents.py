"""The same small jobs, each written twice: as it is first thought of, and with a lever pulled.

The tool that they use is a local HTTP server of the benchmark's own, at BENCH_TOOL_URL, that takes 20 ms to answer
whatever it is asked.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import lru_cache

import httpx
from pydantic import BaseModel, Field

from agent_service.agents import agent

URL = os.environ.get("BENCH_TOOL_URL", "http://127.0.0.1:1")
WORDS = 3_000


class Items(BaseModel):
    """What is looked up with the tool."""

    items: list[int] = Field(default_factory=lambda: [1])


class Size(BaseModel):
    """How much there is to do."""

    size: int = WORDS


class Done(BaseModel):
    """What came of it."""

    found: int


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    return httpx.Client(timeout=10)


@lru_cache(maxsize=1)
def _async_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=10)


# The hot line: a profile names it, and the fix is one word.


@agent("words-in-list")
def words_in_list(given: Size) -> Done:
    """Counts words that were seen before, in a list."""
    seen: list[str] = []
    again = 0
    for number in range(given.size):
        word = f"word-{number * 7 % given.size}"
        again += word in seen
        seen.append(word)
    return Done(found=again)


@agent("words-in-set")
def words_in_set(given: Size) -> Done:
    """Counts words that were seen before, in a set."""
    seen: set[str] = set()
    again = 0
    for number in range(given.size):
        word = f"word-{number * 7 % given.size}"
        again += word in seen
        seen.add(word)
    return Done(found=again)


# Async I/O: while one task waits for the tool, others run.


@agent("lookup-sync")
def lookup_sync(given: Items) -> Done:
    """Asks the tool, and holds the worker meanwhile."""
    return Done(found=len(_client().post(URL, json=given.items).json()))


@agent("lookup-async")
async def lookup_async(given: Items) -> Done:
    """Asks the tool, and lets others run meanwhile."""
    return Done(found=len((await _async_client().post(URL, json=given.items)).json()))


# Batching: one question for all items instead of one for each.


@agent("lookup-each")
def lookup_each(given: Items) -> Done:
    """Asks the tool once for each item."""
    return Done(found=sum(len(_client().post(URL, json=[item]).json()) for item in given.items))


@agent("lookup-batch")
def lookup_batch(given: Items) -> Done:
    """Asks the tool once for all items."""
    return Done(found=len(_client().post(URL, json=given.items).json()))


# Caching: what does not change between tasks is asked once.


@lru_cache(maxsize=256)
def _known(item: int) -> int:
    return len(_client().post(URL, json=[item]).json())


@agent("lookup-cached")
def lookup_cached(given: Items) -> Done:
    """Asks the tool for an item that it does not know yet."""
    return Done(found=sum(_known(item) for item in given.items))


# A queue of its own: a slow agent does not stand in the way of a quick one.


@agent("slow-shared")
def slow_shared(given: Size) -> Done:
    """Takes a quarter of a second, in the queue of all."""
    time.sleep(0.25)
    return Done(found=given.size)


@agent("slow-apart", queue="slow")
def slow_apart(given: Size) -> Done:
    """Takes a quarter of a second, in a queue of its own."""
    time.sleep(0.25)
    return Done(found=given.size)


@agent("quick")
async def quick(given: Size) -> Done:
    """Is done at once."""
    await asyncio.sleep(0)
    return Done(found=given.size)

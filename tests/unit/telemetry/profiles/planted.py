"""Code with lines that are known to be slow or large."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache, wraps

WAIT = 0.15
ROUNDS = 200_000
BLOB = 8_000_000


def compute():
    total = 0
    for number in range(ROUNDS):
        total += number * number  # planted: computes
    return total


def block():
    time.sleep(WAIT)  # planted: blocks


def sync_work():
    block()
    blob = bytes(BLOB)  # planted: holds memory
    return len(blob)


async def wait():
    await asyncio.sleep(WAIT)  # planted: waits


async def async_work():
    await wait()
    blob = bytearray(BLOB)  # planted: holds memory in a coroutine
    await asyncio.sleep(0)
    return len(blob)


async def async_computing():
    await asyncio.sleep(0)
    return compute()


async def async_children():
    await asyncio.gather(async_computing(), async_computing())


def failing():
    block()
    raise LookupError("planted")


class Shelf:
    """Something with a method."""

    def sort(self):
        return sorted(range(ROUNDS), key=lambda number: -number)

    @property
    def size(self):
        return ROUNDS

    @classmethod
    def make(cls):
        return cls()


@lru_cache(maxsize=1)
def remembered():
    return ROUNDS


def twice(function):
    @wraps(function)
    def wrapper():
        return function() + function()

    return wrapper


@twice
def decorated():
    return ROUNDS


class Moody:
    """Answers to no name, as some proxies do."""

    def __getattr__(self, name):
        raise RuntimeError(name)


moody = Moody()


def call_remembered():
    return remembered()

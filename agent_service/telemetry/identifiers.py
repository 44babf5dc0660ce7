"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

_POOL_BYTES: Final = 4096
_TAIL_BYTES: Final = 9

_lock = threading.Lock()
_last_ms = 0
_sequence = 0
_pool = memoryview(b"")


def uuid7() -> str:
    """Return a UUIDv7 that is greater than every earlier one of this process.

    Source: RFC 9562, section 5.7, with method 1 of section 6.2: the 12 bits after the time are a counter.
    """
    global _last_ms, _sequence
    with _lock:
        random = _random()
        now = time.time_ns() // 1_000_000
        if now > _last_ms:
            _last_ms, _sequence = now, random & 0xFF
        else:
            _sequence += 1
            if _sequence > 0xFFF:
                _last_ms, _sequence = _last_ms + 1, 0
        moment, sequence = _last_ms, _sequence
    tail = random >> 8 & ((1 << 62) - 1)
    digits = f"{moment << 80 | 0x7 << 76 | sequence << 64 | 0b10 << 62 | tail:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _random() -> int:
    """Return 72 random bits, taken from the system in blocks: each call there costs more than all the rest."""
    global _pool
    if len(_pool) < _TAIL_BYTES:
        _pool = memoryview(os.urandom(_POOL_BYTES))
    bits, _pool = _pool[:_TAIL_BYTES], _pool[_TAIL_BYTES:]
    return int.from_bytes(bits)


def _forget_pool() -> None:
    """Keep a forked process from making the ids of its parent."""
    global _pool
    _pool = memoryview(b"")


os.register_at_fork(after_in_child=_forget_pool)

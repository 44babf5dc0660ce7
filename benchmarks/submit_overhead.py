"""What telemetry costs at `POST /tasks`: the same API with all of it on, and with all of it off.

Run: python -m benchmarks.submit_overhead [REQUESTS] [ROUNDS]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from redis import Redis

from benchmarks.service import KEY, Service, valkey

CONNECTIONS = 32
OFF = {"OTEL_SDK_DISABLED": "true", "JOURNAL_HOURS": "0", "LOG_LEVEL": "ERROR"}


async def submit_rate(port: int, requests: int) -> float:
    """Return how many submissions a second are acknowledged over 32 connections."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": KEY}, limits=limits, timeout=60
    ) as client:

        async def one_connection(count: int) -> None:
            for _ in range(count):
                (await client.post("/tasks", json={"agent": "noop", "input": {}})).raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*(one_connection(requests // CONNECTIONS) for _ in range(CONNECTIONS)))
        return requests // CONNECTIONS * CONNECTIONS / (time.perf_counter() - began)


def main() -> None:
    requests, rounds = (int(argument) for argument in [*sys.argv[1:], *["1600", "3"][len(sys.argv) - 1 :]])
    watched, bare = [], []
    with TemporaryDirectory() as a, TemporaryDirectory() as b, valkey() as url:
        redis = Redis.from_url(url)
        with Service(url, Path(a)) as on, Service(url, Path(b), **OFF) as off:
            for _ in range(rounds):
                for service, rates in ((on, watched), (off, bare)):
                    redis.flushall()
                    rates.append(asyncio.run(submit_rate(service.port, requests)))
    a_rate, b_rate = statistics.median(watched), statistics.median(bare)
    print(f"POST /tasks over {CONNECTIONS} connections, {requests} a round, {rounds} rounds interleaved, medians")
    print(f"  all telemetry on             {a_rate:8.0f} requests/s  {[round(rate) for rate in watched]}")
    print(f"  no traces, journal, log info {b_rate:8.0f} requests/s  {[round(rate) for rate in bare]}")
    print(f"  ratio on/off                 {a_rate / b_rate:8.2f}x")


if __name__ == "__main__":
    main()

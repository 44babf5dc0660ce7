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

from redis import Redis

from benchmarks.service import KEY, Service, valkey

CONNECTIONS = 32
OFF = {"OTEL_SDK_DISABLED": "true", "JOURNAL_HOURS": "0", "LOG_LEVEL": "ERROR"}


def request(port: int) -> bytes:
    """Return one whole `POST /tasks`, so that the client costs next to nothing beside the server."""
    body = b'{"agent":"noop","input":{}}'
    return (
        f"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def submit_rate(port: int, requests: int) -> float:
    """Return how many submissions a second are acknowledged over 32 connections."""
    message = request(port)

    async def one_connection(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(head.decode())
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(one_connection(requests // CONNECTIONS) for _ in range(CONNECTIONS)))
    return requests // CONNECTIONS * CONNECTIONS / (time.perf_counter() - began)


def main() -> None:
    requests, rounds = (int(argument) for argument in [*sys.argv[1:], *["3200", "3"][len(sys.argv) - 1 :]])
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

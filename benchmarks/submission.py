"""Submissions a second over HTTP: ours with and without telemetry, one by one and in batches, and the plain way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.service import KEY, ROOT, free_port, wait_for_port

CONNECTIONS = 32
BATCH = 500


def _message(path: str, body: bytes, port: int) -> bytes:
    """Return one whole request, so that the client costs next to nothing beside the server."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _send(port: int, message: bytes, requests: int, connections: int) -> float:
    """Return how many requests a second are answered well."""

    async def one_connection(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 20" not in head[:13]:
                raise RuntimeError(head.decode())
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    share = max(1, requests // connections)
    await asyncio.gather(*(one_connection(share) for _ in range(connections)))
    return share * connections / (time.perf_counter() - began)


def one_by_one(port: int, requests: int) -> float:
    """Return how many tasks a second `POST /tasks` takes from one client that waits for each answer."""
    return asyncio.run(_send(port, _message("/tasks", b'{"agent":"noop","input":{}}', port), requests, 1))


def side_by_side(port: int, requests: int) -> float:
    """Return how many tasks a second `POST /tasks` takes over 32 connections."""
    return asyncio.run(_send(port, _message("/tasks", b'{"agent":"noop","input":{}}', port), requests, CONNECTIONS))


def in_batches(port: int, tasks: int) -> float:
    """Return how many tasks a second `POST /tasks/batch` takes, 500 a request."""
    item = '{"agent":"noop","input":{}}'
    body = f'{{"tasks":[{",".join([item] * BATCH)}]}}'.encode()
    return BATCH * asyncio.run(_send(port, _message("/tasks/batch", body, port), tasks // BATCH, 2))


@contextmanager
def plain_api(environment: Mapping[str, str]) -> Iterator[int]:
    """Run FastAPI in front of stock RQ and yield its port."""
    port = free_port()
    argv = ["-m", "uvicorn", "benchmarks.peers.plain_api:app", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen([sys.executable, *argv, "--no-access-log"], env=dict(environment), cwd=ROOT)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(30)

"""A service with agents in which slow and large lines are planted."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.system import API_KEY, System, wait_until

AGENTS = """\
import asyncio
import os
import time

from pydantic import BaseModel

from agent_service.agents import agent


class Empty(BaseModel):
    pass


class Mode(BaseModel):
    mode: str = ""


def linger():
    time.sleep(0.3)  # planted: slow


def hoard():
    held = bytes(20_000_000)  # planted: large
    return len(held)


def compute():
    total = 0
    for number in range(100_000):
        total += sum((number, number * number, number % 7))  # planted: computes
    return total


@agent("slow-sync")
def slow_sync(given: Mode) -> Empty:
    linger()
    hoard()
    if given.mode == "fail":
        raise LookupError("asked to fail")
    if given.mode == "crash":
        os._exit(3)
    return Empty()


@agent("slow-async")
async def slow_async(given: Mode) -> Empty:
    await asyncio.sleep(0.3)  # planted: waits
    hoard()
    if given.mode == "fail":
        raise LookupError("asked to fail")
    return Empty()


@agent("compute-async")
async def compute_async(_: Empty) -> Empty:
    await asyncio.sleep(0.01)
    compute()
    return Empty()


@agent("quick")
def quick(_: Empty) -> Empty:
    return Empty()


@agent("endless-sync")
def endless_sync(_: Empty) -> Empty:
    while True:
        time.sleep(0.01)  # planted: endless


@agent("endless-async")
async def endless_async(_: Empty) -> Empty:
    while True:
        await asyncio.sleep(0.01)  # planted: endless async
"""
MODULE = "planted_agents"


def line_of(mark: str) -> int:
    """Return the number of the line that carries a mark."""
    return next(number for number, line in enumerate(AGENTS.splitlines(), start=1) if line.endswith(f"# {mark}"))


class ProfiledSystem:
    """A running service, and what its clients ask of profiles."""

    def __init__(self, system: System) -> None:
        self.system = system

    def run(self, agent: str, kind: str, mode: str = "", **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run a task that is profiled; return it, and its profile with the table."""
        payload = {"mode": mode} if agent.startswith("slow") else {}
        task = self.system.submit(agent, {"profile": kind, **options}, **payload)
        task = self.system.wait_for(task, "finished", "failed")
        return task, self.get(self.wait_for_profiles(1, task_id=task["id"])[0]["id"])

    def find(self, **wanted: str) -> list[dict[str, Any]]:
        response = self.system.http.get("/profiles", params={"limit": 200, **wanted})
        return list(response.raise_for_status().json()["profiles"])

    def get(self, profile_id: str) -> dict[str, Any]:
        return dict(self.system.http.get(f"/profiles/{profile_id}").raise_for_status().json())

    def wait_for_profiles(self, count: int, **wanted: str) -> list[dict[str, Any]]:
        return list(wait_until(lambda: (p := self.find(**wanted)) and len(p) >= count and p, f"{count} profiles"))

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start the command line as a user would."""
        return subprocess.Popen(
            [sys.executable, "-m", "agent_service", *argv],
            env={**os.environ, "API_URL": f"http://127.0.0.1:{self.system.api_port}", "API_KEY": API_KEY},
            cwd=self.system.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*argv)
        stdout, stderr = process.communicate(timeout=90)
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


@pytest.fixture
def make_profiled(make_system, tmp_path):
    """Return a function that starts a service with the planted agents."""
    (tmp_path / f"{MODULE}.py").write_text(AGENTS)

    def make(workers: int = 1, **settings: str) -> ProfiledSystem:
        system = make_system(AGENT_MODULES=MODULE, PYTHONPATH=str(tmp_path), **settings)
        system.start_api()
        for _ in range(workers):
            system.start_worker()
        return ProfiledSystem(system)

    return make


@pytest.fixture
def profiled(make_profiled) -> ProfiledSystem:
    """Return such a service with one worker."""
    return make_profiled()

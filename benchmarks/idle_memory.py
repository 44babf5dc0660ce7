"""Resident memory of an idle API and an idle worker (supervisor and child), against what they may take.

Run: python -m benchmarks.idle_memory
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.service import Service, valkey

API_LIMIT, WORKER_LIMIT = 120.0, 160.0
"""MB."""


def resident(pid: int) -> float:
    """Return the resident memory of a process and its children in MB."""
    process = psutil.Process(pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]) / 1e6


def main() -> None:
    with TemporaryDirectory() as folder, valkey() as url, Service(url, Path(folder)) as service:
        worker = subprocess.Popen(
            [sys.executable, "-m", "agent_service", "worker"],
            env=service.environment,
            cwd=service.folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            service.submit_many(1)
            deadline = time.monotonic() + 60
            while service.http.get("/tasks").json()["tasks"][0]["status"] != "finished":
                if time.monotonic() > deadline:
                    raise TimeoutError("the worker ran no task")
                time.sleep(0.1)
            rows = (("API", resident(service.process.pid), API_LIMIT), ("worker", resident(worker.pid), WORKER_LIMIT))
        finally:
            worker.terminate()
            worker.wait(30)
    for name, megabytes, limit in rows:
        print(f"{name:8} {megabytes:6.1f} MB resident, {megabytes / limit:.2f} of its {limit:.0f} MB")


if __name__ == "__main__":
    main()

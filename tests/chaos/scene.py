"""A running service, tasks that flow into it, and the account of what became of each of them."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from tests.integration.system import System, wait_until

ROOT = Path(__file__).parents[2]
BATCH = 10
AHEAD = 300
"""Tasks that may wait at a time, so that they flow for as long as the faults last."""
DRAIN_SECONDS = 150.0
CUT_ERRORS = {"WorkerChildDied", "WorkerDied"}


class Flow:
    """Submits tasks from a thread until so many are acknowledged, and remembers which."""

    def __init__(self, scene: Scene, count: int) -> None:
        self._scene = scene
        self._count = count
        self.acknowledged: list[str] = []
        self.refused = 0
        self._rng = random.Random(7)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while (left := self._count - len(self.acknowledged)) > 0:
                if len(self.acknowledged) - self._scene.ended() > AHEAD:
                    time.sleep(0.02)  # not a wait for something: the pace at which work arrives
                else:
                    self._submit(min(left, BATCH))
        except BaseException as error:
            self._error = error
            raise

    def _submit(self, count: int) -> None:
        try:
            response = self._scene.system.http.post(
                "/tasks/batch", json={"tasks": [self._task() for _ in range(count)]}
            )
        except httpx.TransportError:
            self.refused += count
            return
        if response.status_code != 200:
            assert response.status_code in {429, 503}, response.text
            self.refused += count
            return
        for result in response.json()["results"]:
            if result["status"] == 202:
                self.acknowledged.append(result["task"]["id"])
            else:
                assert result["status"] in {429, 503}, result
                self.refused += 1

    def _task(self) -> dict[str, Any]:
        agent = self._rng.choice(("witness-block", "witness-wait"))
        retries = self._rng.choice((0, 1))
        options = {"retries": retries, "metadata": {"retries": str(retries)}}
        return {"agent": agent, "input": {"seconds": self._rng.uniform(0.002, self._scene.longest)}, "options": options}

    def has_failed(self) -> bool:
        return self._error is not None

    def join(self) -> None:
        self._thread.join(DRAIN_SECONDS)
        assert not self._thread.is_alive(), f"{len(self.acknowledged)} of {self._count} are acknowledged"
        assert self._error is None, self._error


@dataclass
class Runs:
    """What the agents themselves have seen of one task."""

    starts: int = 0
    ends: int = 0


@dataclass
class Account:
    """What became of the tasks of a scene.

    Attributes:
        cut: Those that ran, by the books, in a process at the moment it was killed.
        runs: What the agents saw of each.
    """

    case: str
    tasks: dict[str, dict[str, Any]]
    acknowledged: set[str]
    refused: int
    cut: set[str]
    runs: dict[str, Runs]
    seconds: float
    problems: list[str] = field(default_factory=list)

    def lost(self) -> list[str]:
        """Acknowledged tasks that are nowhere, or in no final state."""
        final = {task_id for task_id, task in self.tasks.items() if task["status"] in {"finished", "failed"}}
        return sorted(self.acknowledged - final)

    def doubles(self) -> list[str]:
        """Tasks that ran more than once although nothing that ran them was killed, or no retry was allowed."""
        return sorted(
            task_id
            for task_id, runs in self.runs.items()
            if runs.starts > 1 and (task_id not in self.cut or self.tasks[task_id]["metadata"]["retries"] == "0")
        )

    def untouched_unlike_once(self) -> list[str]:
        """Tasks that no kill has touched, and that still did not run exactly once, to success."""
        return sorted(
            f"{task_id}: {task['status']}, attempts {task['attempts']}, {self.runs[task_id]}, {task['error']}"
            for task_id, task in self.tasks.items()
            if task_id not in self.cut
            and (task["status"], task["attempts"], self.runs[task_id]) != ("finished", 1, Runs(1, 1))
        )

    def cut_unlike_policy(self) -> list[str]:
        """Tasks that a kill has cut, and that neither ended, nor ran again where allowed, nor failed as crash."""
        return sorted(
            f"{task_id}: {task['status']}, attempts {task['attempts']}, {self.runs[task_id]}, {task['error']}"
            for task_id, task in self.tasks.items()
            if task_id in self.cut and not _is_explained(task, self.runs[task_id])
        )

    def row(self) -> tuple[str, ...]:
        """The line of the table."""
        states = Counter(task["status"] for task in self.tasks.values())
        again = sum(task["attempts"] > 1 for task in self.tasks.values())
        unanswered = len(self.tasks.keys() - self.acknowledged)
        cells = (len(self.acknowledged), unanswered, states["finished"] - again, again, states["failed"], len(self.cut))
        return (self.case, *map(str, cells), str(len(self.lost())), str(len(self.doubles())), f"{self.seconds:.0f}")


HEADINGS = (
    "case", "acknowledged", "unanswered", "ran once", "ran again", "crash", "cut by a kill", "lost", "doubles", "s",
)  # fmt: skip
rows: list[tuple[str, ...]] = []
"""The lines of the table that is printed at the end of the run."""


def _is_explained(task: dict[str, Any], runs: Runs) -> bool:
    attempts = int(task["attempts"])
    if task["status"] == "finished":
        allowed = 1 + int(task["metadata"]["retries"])
        return 1 <= attempts <= allowed and runs.starts <= attempts and runs.ends >= 1
    used_up = attempts == 1 + int(task["metadata"]["retries"])
    return task["status"] == "failed" and used_up and task["error"]["type"] in CUT_ERRORS


class Scene:
    """The service on a Valkey of its own, with agents that leave traces of every run."""

    def __init__(self, case: str, redis_url: str, folder: Path, *, longest: float = 0.012, **settings: str) -> None:
        """Set the scene; nothing is started yet.

        Args:
            case: What the table calls it.
            redis_url: Where Valkey is.
            folder: An empty directory.
            longest: Longest run of a task in seconds; the longer, the more of them a kill cuts.
            settings: Of the service.
        """
        self.case = case
        self.longest = longest
        self.witness = folder / "witness"
        self.witness.touch()
        self._reading = threading.Lock()
        self._read = 0
        self._ends = 0
        self._redis_url = redis_url
        self.cut: set[str] = set()
        self.system = System(
            redis_url,
            folder / "system",
            AGENT_MODULES="tests.chaos.witness",
            PYTHONPATH=str(ROOT),
            WITNESS_FILE=str(self.witness),
            WORKER_ASYNC_TASKS="4",
            **settings,
        )
        self.flow: Flow | None = None
        self._wanted = 0
        self._began = time.monotonic()

    def start(self, tasks: int, workers: int = 2) -> None:
        """Start the API and workers, and let tasks flow."""
        self.system.start_api()
        for _ in range(workers):
            self.system.start_worker()
        self.flow = Flow(self, tasks)
        self._wanted = tasks

    def close(self) -> None:
        self.system.close()

    def ended(self) -> int:
        """Return how many runs have ended, by the agents' own traces."""
        with self._reading, self.witness.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            whole = new.rfind(b"\n") + 1
            self._read += whole
            self._ends += new[:whole].count(b"end ")
            return self._ends

    def wait_for(self, share: float) -> None:
        """Wait until that share of the tasks has run."""
        assert self.flow is not None
        flow, wanted = self.flow, share * self._wanted
        wait_until(lambda: flow.has_failed() or self.ended() >= wanted, f"{share:.0%} have run", DRAIN_SECONDS)

    # Faults

    def books_of(self, worker: subprocess.Popen[bytes]) -> set[str]:
        """Return the tasks that a worker runs, by the books."""
        return {
            task_id
            for record in self.system.worker_records()
            if record["pid"] == worker.pid
            for task_id in record["task_ids"]
        }

    def kill_child(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker's child, and remember what it ran: it is stopped first, so that the books stand still."""
        child = psutil.Process(self.system.child_of(worker))
        child.suspend()
        self.cut |= self.books_of(worker)
        child.send_signal(signal.SIGKILL)

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a whole worker, likewise."""
        child = psutil.Process(self.system.child_of(worker))
        child.suspend()
        worker.send_signal(signal.SIGSTOP)
        self.cut |= self.books_of(worker)
        worker.kill()
        child.send_signal(signal.SIGKILL)
        worker.wait(10)

    # The account

    def account(self) -> Account:
        """Wait until every task has ended, and say what became of each."""
        assert self.flow is not None
        self.flow.join()
        with redis.Redis.from_url(self._redis_url) as client:
            wait_until(lambda: self._open(client) == 0, "no task is waiting or running any more", DRAIN_SECONDS)
        account = Account(
            case=self.case,
            tasks=self._tasks(),
            acknowledged=set(self.flow.acknowledged),
            refused=self.flow.refused,
            cut=self.cut,
            runs=self._runs(),
            seconds=time.monotonic() - self._began,
        )
        rows.append(account.row())
        return account

    def check(self) -> Account:
        """Account for every task, and fail where one is lost, ran twice without a reason, or is told of differently."""
        account = self.account()
        assert account.lost() == []
        assert account.doubles() == []
        assert account.untouched_unlike_once() == []
        assert account.cut_unlike_policy() == []
        self._check_registries(account)
        return account

    def _open(self, client: redis.Redis) -> int:
        pipeline = client.pipeline(transaction=False)
        pipeline.llen("rq:queue:default")
        pipeline.llen("rq:queue:default:intermediate")
        for registry in ("wip", "scheduled", "deferred"):
            pipeline.zcard(f"rq:{registry}:default")
        return sum(pipeline.execute())

    def _tasks(self) -> dict[str, dict[str, Any]]:
        tasks, cursor = {}, None
        while True:
            query = {"limit": 200, **({"cursor": cursor} if cursor else {})}
            page = self.system.http.get("/tasks", params=query).raise_for_status().json()
            tasks |= {task["id"]: task for task in page["tasks"]}
            cursor = page["next_cursor"]
            if cursor is None:
                return tasks

    def _runs(self) -> dict[str, Runs]:
        runs: defaultdict[str, Runs] = defaultdict(Runs)
        for line in self.witness.read_text().splitlines():
            what, task_id, _ = line.split()
            if what == "start":
                runs[task_id].starts += 1
            else:
                runs[task_id].ends += 1
        return runs

    def _check_registries(self, account: Account) -> None:
        """Every task is in exactly one of RQ's final registries, the one that its state names."""
        with redis.Redis.from_url(self._redis_url) as client:
            found = {
                state: {raw.decode() for raw in client.zrange(f"rq:{state}:default", 0, -1)}
                for state in ("finished", "failed")
            }
        assert found["finished"] & found["failed"] == set()
        for state, ids in found.items():
            assert ids == {task_id for task_id, task in account.tasks.items() if task["status"] == state}

    def check_signals(self, account: Account) -> None:
        """Counters, states and log lines agree; for scenes in which no supervisor, whose memory counts, was killed."""
        ended = Counter({"success": 0, "crash": 0, "retry": 0})
        for task in account.tasks.values():
            ended["success" if task["status"] == "finished" else "crash"] += 1
            ended["retry"] += task["attempts"] - 1
        wait_until(lambda: self.counted() == ended, f"the counters say {ended}; now {self.counted()}", 20)
        for state in ("finished", "failed"):
            expected = sum(task["status"] == state for task in account.tasks.values())
            wait_until(lambda state=state, expected=expected: self._gauge(state) == expected, f"{expected} {state}", 20)
        self.check_log_lines(account)

    def counted(self) -> Counter[str]:
        """Return the living workers' `agent_tasks_total` by outcome."""
        return Counter(
            {
                outcome: round(self.system.metric("agent_tasks_total", outcome=outcome))
                for outcome in ("success", "crash", "retry")
            }
        )

    def _gauge(self, state: str) -> float:
        return max(self.system.samples("agent_queue_tasks", queue="default", state=state))

    def check_log_lines(self, account: Account) -> None:
        """Each task that no kill has touched has told its end in one line; a cut one as often as it ended, or less."""
        told = self.ends_told()
        for task_id in account.tasks:
            if task_id in account.cut:
                assert told[task_id] <= account.runs[task_id].ends, task_id
            else:
                assert told[task_id] == 1, (task_id, told[task_id])

    def ends_told(self) -> Counter[str]:
        return Counter(line["task"]["id"] for line in self.lines("task finished"))

    def lines(self, message: str) -> Iterable[dict[str, Any]]:
        return (line for line in self.system.log_lines() if line["message"] == message)


def table() -> list[str]:
    """Return the account of all scenes so far, a line each."""
    total = ["all", *(str(sum(int(row[column]) for row in rows)) for column in range(1, len(HEADINGS)))]
    lines = [HEADINGS, *rows, tuple(total)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return [
        "  ".join(cell.ljust(width) if number == 0 else cell.rjust(width) for number, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]

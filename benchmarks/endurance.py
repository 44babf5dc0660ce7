"""What a task costs at a long queue, and whether a worker's memory stays as it is over very many tasks."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.arena import Arena, between
from benchmarks.contenders import OURS

SHORT, LONG = 3_000, 100_000
MEASURED = 2_000
STEPS = 20


@dataclass(frozen=True, slots=True)
class Endurance:
    """What was seen.

    Attributes:
        short: Microseconds of processor time a task, workers and Valkey, at a queue of `SHORT` tasks.
        long: The same at one of `LONG`.
        tasks: How many tasks were run in all.
        memory: Resident bytes of both workers, at the start and after every twentieth of them.
    """

    short: float
    long: float
    tasks: int
    memory: list[float]

    @property
    def cost_ratio(self) -> float:
        """A task's cost at a long queue over that at a short one."""
        return self.long / self.short

    @property
    def growth(self) -> float:
        """By which share the memory grew from the second reading to the last; before, caches are filled."""
        return self.memory[-1] / self.memory[min(2, len(self.memory) - 1)] - 1


def measure(arena: Arena, seconds: float, tasks: int) -> Endurance:
    """Run many tasks, in at most about so many seconds."""
    short = _cost(arena, SHORT)
    arena.reset()
    OURS.submit(arena.environment, "noop", max(tasks, LONG))
    environment = arena.environment
    # No recycling, or a leak would go with the child that has it.
    arena.environment = {**environment, "WORKER_RECYCLE_TASKS": "100000000"}
    try:
        with arena.workers(OURS, "noop") as processes:
            first = arena.read(processes, arena.wait_for(SHORT - MEASURED))
            last = arena.read(processes, arena.wait_for(SHORT))
            long = between(first, last).cost
            memory = [last.memory]
            ended, deadline = last.tasks, time.monotonic() + seconds
            while ended < tasks and time.monotonic() < deadline:
                with suppress(TimeoutError):
                    arena.wait_for(min(tasks, ended + tasks // STEPS), max(0.1, deadline - time.monotonic()))
                now = arena.read(processes, arena.ended())
                ended = now.tasks
                memory.append(now.memory)
    finally:
        arena.environment = environment
    return Endurance(short, long, ended, memory)


def _cost(arena: Arena, queued: int) -> float:
    arena.reset()
    OURS.submit(arena.environment, "noop", queued)
    with arena.workers(OURS, "noop") as processes:
        first = arena.read(processes, arena.wait_for(queued - MEASURED))
        return between(first, arena.read(processes, arena.wait_for(queued))).cost

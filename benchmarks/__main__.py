"""Measures the service against other queues, in one go and interleaved, and says which of its goals are met.

Run: make bench [ROUNDS=2], or python -m benchmarks [ROUNDS] [--write] with the peers' Python in PEERS_PYTHON. `--write`
puts what was found into docs/performance.md and its picture.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks import endurance, report, submission
from benchmarks.arena import Arena, collector, percentile
from benchmarks.contenders import EVERYBODY, KINDS, OURS, OURS_BARE, PEERS
from benchmarks.results import Results
from benchmarks.service import Service, valkey

LATENCY_TASKS = 250
SUBMITTED = 1500
"""Tasks that each library submits one by one."""
REQUESTS = 1600
ENDURANCE_TASKS, ENDURANCE_SECONDS = 200_000, 90.0


def main() -> None:
    """Measure everything and print the tables."""
    write, rounds = "--write" in sys.argv, int(next((word for word in sys.argv[1:] if word.isdigit()), "2"))
    began = time.monotonic()
    with TemporaryDirectory() as name, valkey() as url, collector() as endpoint:
        folder = Path(name)
        log = {"LOG_DIR": str(folder / "log"), "AGENT_MODULES": "benchmarks.peers.agents,benchmarks.noop_agent"}
        service = Service(url, folder, **log)
        arena = Arena(url, folder, service.environment, endpoint)
        results = Results(endurance.measure(arena, ENDURANCE_SECONDS, ENDURANCE_TASKS))
        seen = results.endurance
        _say(began, f"{seen.tasks} tasks: cost {seen.cost_ratio:.2f}x at a long queue, memory {seen.growth:+.1%}")
        _measure_rates(arena, results, rounds, began)
        _measure_latencies(arena, results, began)
        _measure_submission(url, folder, endpoint, results, rounds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    told = (
        f"Medians of {rounds} interleaved rounds on {os.cpu_count()} cores; the rounds of one measurement lie "
        f"{results.spread():.0%} apart on average; load at the end {load}; {time.monotonic() - began:.0f} s in all. "
        f"Versions: {report.versions()}."
    )
    print(f"\n{told}\n")
    for rows in (report.goal_rows, report.rate_rows, report.cpu_rows, report.cost_rows, report.submission_rows):
        report.print_table(rows(results))
    if write:
        report.write_page(results, told)


def _measure_rates(arena: Arena, results: Results, rounds: int, began: float) -> None:
    for number in range(rounds):
        for kind in KINDS:
            for each in EVERYBODY:
                drained = arena.drain(each, kind)
                results.drains.setdefault((each.name, kind), []).append(drained)
                _say(began, f"round {number + 1}: {each.name}, {kind}: {drained.rate:.0f}/s")
    for each in (OURS, OURS_BARE, *PEERS):
        arena.reset()
        environment = {**arena.environment, **each.environment}
        results.submits[each.name] = SUBMITTED / each.submit(environment, "noop", SUBMITTED, rate=1e9)


def _measure_latencies(arena: Arena, results: Results, began: float) -> None:
    for each in (OURS, OURS_BARE, *PEERS):
        found = results.latencies[each.name] = arena.latencies(each, LATENCY_TASKS)
        _say(began, f"{each.name}: p50 {percentile(found, 0.5):.1f} ms, p99 {percentile(found, 0.99):.1f} ms")


def _measure_submission(url: str, folder: Path, endpoint: str, results: Results, rounds: int) -> None:
    redis = Redis.from_url(url)
    on = Service(url, folder, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    off = Service(url, folder, TELEMETRY="false")
    rates: dict[str, list[float]] = {}
    with on, off, submission.plain_api(on.environment) as plain:
        ways = {
            "watched": lambda: submission.side_by_side(on.port, REQUESTS),
            "bare": lambda: submission.side_by_side(off.port, REQUESTS),
            "plain": lambda: submission.side_by_side(plain, REQUESTS),
            "watched, one by one": lambda: submission.one_by_one(on.port, REQUESTS // 4),
            "watched, batches": lambda: submission.in_batches(on.port, 10 * REQUESTS),
        }
        for _ in range(rounds + 1):
            for way, measure in ways.items():
                redis.flushall()
                rates.setdefault(way, []).append(measure())
    results.submission = {way: sorted(found[1:])[len(found[1:]) // 2] for way, found in rates.items()}


def _say(began: float, what: str) -> None:
    print(f"{time.monotonic() - began:4.0f} s  {what}", flush=True)


if __name__ == "__main__":
    main()

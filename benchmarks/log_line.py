"""What one log call costs: our JSON line inside a task, against the standard library's plain text, to the same file.

Run: python -m benchmarks.log_line [CALLS] [ROUNDS]
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from opentelemetry.sdk.trace import TracerProvider

from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.logs import EcsFormatter, LogContext, bound

LIMIT_MICROSECONDS = 60.0


def microseconds(formatter: logging.Formatter, path: Path, calls: int) -> float:
    """Return the processor time of one log call in microseconds."""
    handler = logging.FileHandler(path)
    handler.setFormatter(formatter)
    logger = logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    began = time.process_time()
    for index in range(calls):
        logger.info("section %d summarized", index, extra={"section": index, "kept": 2, "of": 17})
    spent = time.process_time() - began
    logger.removeHandler(handler)
    handler.close()
    return spent / calls * 1e6


def main() -> None:
    calls, rounds = (int(argument) for argument in [*sys.argv[1:], *["20000", "5"][len(sys.argv) - 1 :]])
    ours, plain = [], []
    ecs = EcsFormatter(ServiceName.WORKER, frozenset({"a-redis-password"}))
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    context = LogContext("01a20cc9-a1f3-7037-a6f9-5316c3297aa7", "summarizer", "summarizer@1", None)
    tracer = TracerProvider().get_tracer("benchmark")
    with TemporaryDirectory() as folder, tracer.start_as_current_span("task"), bound(context):
        for _ in range(rounds):
            ours.append(microseconds(ecs, Path(folder, "ours"), calls))
            plain.append(microseconds(text, Path(folder, "plain"), calls))
    a, b = statistics.median(ours), statistics.median(plain)
    print(f"one log call inside a task with trace, {calls} calls a round, {rounds} rounds interleaved, medians")
    share = f"{a / LIMIT_MICROSECONDS:.2f} of its {LIMIT_MICROSECONDS:.0f} us"
    print(f"  JSON line, all fields of the contract  {a:6.1f} us, {share}")
    print(f"  standard library, plain text           {b:6.1f} us")
    print(f"  ratio                                  {a / b:6.2f}x")


if __name__ == "__main__":
    main()

"""Submits tasks to one queue and prints how long that took: python -m benchmarks.peers NAME KIND COUNT [RATE].

With a rate, so many tasks a second are submitted, and each is told when.
"""

import importlib
import sys
import time
from collections.abc import Iterator


def moments(count: int, rate: float) -> Iterator[float]:
    """Yield the time at each moment at which a task is due, or 0 as often as is wanted where there is no rate."""
    began = time.time()
    for number in range(count):
        if rate:
            time.sleep(max(0.0, began + number / rate - time.time()))
        yield time.time() if rate else 0.0


def main() -> None:
    name, kind, count = sys.argv[1:4]
    rate = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    app = importlib.import_module(f"benchmarks.peers.{name}_app")
    began = time.perf_counter()
    if rate or not hasattr(app, "fill_at_once"):
        app.fill(kind, moments(int(count), rate))
    else:
        app.fill_at_once(kind, int(count))
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()

"""Enqueues tasks for one queue: python -m benchmarks.peers NAME KIND COUNT."""

import importlib
import sys

name, kind, count = sys.argv[1:4]
importlib.import_module(f"benchmarks.peers.{name}_app").fill(kind, int(count))

"""What the tests of the profilers share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent_service.telemetry.profiles import Measured, ProfileKind, collector_for_call
from agent_service.telemetry.profiles.steps import await_profiled, call_profiled
from agent_service.telemetry.resources import meter_task_factory
from tests.unit.telemetry.profiles import planted

SOURCE = Path(planted.__file__)


def line_of(mark: str) -> int:
    """Return the number of the line that carries a mark."""
    return next(n for n, line in enumerate(SOURCE.read_text().splitlines(), start=1) if line.endswith(f"# {mark}"))


def profiled(kind: ProfileKind, function: Callable[[], Any]) -> Measured:
    """Return the profile of one call."""
    kept: list[Measured] = []
    collector = collector_for_call(kind, function, by_steps=False)
    collector.reserve()
    with contextlib.suppress(LookupError):
        call_profiled(collector, function, lambda: kept.append(collector.end()()))
    return kept[0]


def profiled_async(
    kind: ProfileKind,
    function: Callable[[], Coroutine[Any, Any, Any]],
    beside: Callable[[], Coroutine[Any, Any, Any]] | None = None,
) -> Measured:
    """Return the profile of one coroutine, while another runs in the same event loop."""

    async def main() -> Measured:
        asyncio.get_running_loop().set_task_factory(meter_task_factory)
        neighbour = asyncio.create_task(beside()) if beside else None
        kept: list[Measured] = []
        collector = collector_for_call(kind, function, by_steps=True)
        collector.reserve()
        await asyncio.create_task(await_profiled(collector, function, lambda: kept.append(collector.end()())))
        if neighbour:
            neighbour.cancel()
        return kept[0]

    return asyncio.run(main())


@pytest.fixture
def no_files_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let temporary files go where they can be counted."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path

"""Runs an agent's call under a collector; the names of this file in a stack mark where the agent begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agent_service.telemetry.profiles.collectors import Collector, ProfilerBusyError
from agent_service.telemetry.resources import MeteredCoroutine, ResourceMeter, current_meter

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


class ProfiledCoroutine(MeteredCoroutine):
    """A coroutine of a profiled agent: the collector is told of each of its steps."""

    def send(self, value: Any) -> Any:
        """Run one step."""
        self._meter.step_begins()
        try:
            return self._coroutine.send(value)
        finally:
            self._meter.step_ends()


class _StepsOf(ResourceMeter):
    """Stands in for the meter of a task while it is profiled, so that coroutines that it starts are seen too."""

    def __init__(self, collector: Collector, meter: ResourceMeter | None = None) -> None:
        super().__init__(by_steps=True)
        self._collector = collector
        self._inner = meter

    def step_begins(self) -> None:
        """Begin a step for both."""
        if self._inner is not None:
            self._inner.step_begins()
        self._collector.step_begins()

    def step_ends(self) -> None:
        """End a step for both."""
        self._collector.step_ends()
        if self._inner is not None:
            self._inner.step_ends()

    def metered(self, coroutine: Coroutine[Any, Any, Any]) -> MeteredCoroutine:
        """Return a coroutine whose steps are told to both."""
        return ProfiledCoroutine(coroutine, self)


def call_profiled(collector: Collector, call: Callable[[], ResultT], keep: Callable[[], None]) -> ResultT:
    """Call a function under a collector, or without where that cannot begin.

    Args:
        collector: The collector, which has not begun.
        call: What is profiled.
        keep: Ends the collector; called at the end, however that came.
    """
    if not _has_begun(collector):
        return call()
    try:
        return _enter(call)
    finally:
        keep()


def _enter(call: Callable[[], ResultT]) -> ResultT:
    """Call it one frame further in: memray knows only frames that were entered after it began."""
    return call()


async def await_profiled(
    collector: Collector, call: Callable[[], Coroutine[Any, Any, ResultT]], keep: Callable[[], None]
) -> ResultT:
    """Await a coroutine under a collector, or without where that cannot begin.

    Args:
        collector: The collector, which has not begun.
        call: Gives the coroutine that is profiled.
        keep: Ends the collector; called at the end, however that came.
    """
    if not _has_begun(collector):
        return await call()
    token = current_meter.set(_StepsOf(collector, current_meter.get()))
    try:
        coroutine = call()
        collector.watch(coroutine)
        result: ResultT = await ProfiledCoroutine(coroutine, _StepsOf(collector))
        return result
    finally:
        current_meter.reset(token)
        keep()


def _has_begun(collector: Collector) -> bool:
    try:
        collector.begin()
    except ProfilerBusyError as error:
        logger.warning("not profiled: %s", error)
        return False
    return True


ENTRANCES = frozenset(function.__code__ for function in (_enter, ProfiledCoroutine.send, ProfiledCoroutine.throw))
"""What a frame of this code calls is the profiled agent."""

"""Each kind of profile names the line that was planted, and nothing that others did."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import threading
import time

import pytest

from agent_service.telemetry.profiles import (
    ProfileKind,
    ProfilerBusyError,
    Unit,
    collector_for_call,
    collector_for_process,
)
from agent_service.telemetry.profiles.own_code import OwnCode
from agent_service.telemetry.profiles.steps import await_profiled
from agent_service.telemetry.resources import meter_task_factory
from tests.unit.telemetry.profiles import planted
from tests.unit.telemetry.profiles.conftest import SOURCE, line_of, profiled, profiled_async

KINDS = list(ProfileKind)


def test_lines_of_a_sync_call_are_timed():
    measured = profiled(ProfileKind.LINE, planted.sync_work)

    assert measured.top is not None
    assert (measured.top.function, measured.top.line) == ("block", line_of("planted: blocks"))
    assert measured.top.source == "time.sleep(WAIT)  # planted: blocks"
    assert measured.top.calls == 1
    assert measured.top.self_seconds == pytest.approx(planted.WAIT, abs=0.1)


def test_the_line_that_calls_a_slow_function_does_not_hide_it():
    measured = profiled(ProfileKind.LINE, planted.sync_work)

    calling = next(row for row in measured.rows if row.source == "block()")
    assert calling.total_seconds >= planted.WAIT
    assert calling.self_seconds < planted.WAIT / 2


def test_functions_get_their_own_code_back():
    before = planted.block.__code__

    for _ in range(2):
        profiled(ProfileKind.LINE, planted.sync_work)

    assert planted.block.__code__ is before


def test_methods_and_the_lines_of_a_loop_are_counted():
    shelf = planted.Shelf()
    measured = profiled(ProfileKind.LINE, planted.compute)
    loop = next(row for row in measured.rows if row.line == line_of("planted: computes"))
    assert loop.calls == planted.ROUNDS

    methods = profiled(ProfileKind.LINE, shelf.sort)
    assert any(row.function.endswith("sort") for row in methods.rows)


def test_calls_are_counted_and_charged_to_the_function_of_ones_own():
    measured = profiled(ProfileKind.CPROFILE, planted.sync_work)

    assert measured.top is not None
    assert measured.top.function == "block"
    sleep = next(row for row in measured.rows if "sleep" in row.function)
    assert (sleep.calls, sleep.file) == (1, "")
    whole = next(row for row in measured.rows if row.function == "sync_work")
    assert whole.total_seconds >= planted.WAIT
    assert measured.total == pytest.approx(whole.total_seconds, rel=0.05)


def test_samples_name_the_line_of_a_loop_without_calls():
    measured = profiled(ProfileKind.SAMPLE, planted.compute)

    assert measured.top is not None
    assert line_of("planted: computes") - 1 <= measured.top.line <= line_of("planted: computes")


def test_samples_name_the_line_that_blocks():
    measured = profiled(ProfileKind.SAMPLE, planted.sync_work)

    assert measured.top is not None
    assert measured.top.line == line_of("planted: blocks")
    assert [place.function for stack in measured.stacks for place in stack][:1] == ["sync_work"]


def test_memory_names_the_line_that_held_it_at_the_peak_though_it_is_gone_at_the_end(no_files_left):
    measured = profiled(ProfileKind.MEMORY, planted.sync_work)

    assert measured.unit is Unit.BYTES
    assert measured.top is not None
    assert measured.top.line == line_of("planted: holds memory")
    assert measured.top.bytes >= planted.BLOB
    assert list(no_files_left.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_is_profiled_all_the_same(kind):
    measured = profiled(kind, planted.failing)

    assert measured.unit
    if kind is not ProfileKind.MEMORY:
        assert measured.top is not None
        assert measured.top.function in {"block", "failing"}


def test_samples_of_an_async_call_name_the_line_that_waits():
    measured = profiled_async(ProfileKind.SAMPLE, planted.async_work)

    assert measured.top is not None
    assert (measured.top.function, measured.top.line) == ("wait", line_of("planted: waits"))
    assert measured.total == pytest.approx(planted.WAIT, abs=0.1)


def test_memory_of_an_async_call_is_told_by_its_stack():
    async def hoard():
        hoard.held = [bytes(1000) for _ in range(20_000)]
        await asyncio.sleep(60)

    measured = profiled_async(ProfileKind.MEMORY, planted.async_work, beside=hoard)

    assert measured.top is not None
    assert measured.top.line == line_of("planted: holds memory in a coroutine")
    assert measured.total < planted.BLOB + 1_000_000


@pytest.mark.parametrize("kind", [ProfileKind.CPROFILE, ProfileKind.LINE, ProfileKind.SAMPLE])
def test_what_a_neighbour_in_the_event_loop_computes_is_not_counted(kind):
    async def compute_beside():
        while True:
            planted.compute()
            await asyncio.sleep(0.001)

    measured = profiled_async(kind, planted.async_work, beside=compute_beside)

    assert [row.function for row in measured.rows if "compute" in row.function and row.cost > 0.001] == []


@pytest.mark.parametrize("kind", [ProfileKind.CPROFILE, ProfileKind.LINE, ProfileKind.SAMPLE])
def test_what_another_thread_computes_is_not_counted(kind):
    over = threading.Event()

    def compute_beside():
        while not over.is_set():
            planted.Shelf().sort()

    thread = threading.Thread(target=compute_beside)
    thread.start()
    try:
        measured = profiled(kind, planted.compute)
    finally:
        over.set()
        thread.join()

    assert [row.function for row in measured.rows if "sort" in row.function and row.cost > 0.001] == []
    assert measured.top is not None
    assert measured.top.function == "compute"


@pytest.mark.parametrize("kind", [ProfileKind.CPROFILE, ProfileKind.LINE, ProfileKind.SAMPLE])
def test_coroutines_that_an_agent_starts_are_counted(kind):
    measured = profiled_async(kind, planted.async_children)

    assert any(row.function == "compute" and row.cost > 0.001 for row in measured.rows)


def test_the_pace_of_threads_is_as_before_when_nobody_samples():
    before = sys.getswitchinterval()

    profiled(ProfileKind.SAMPLE, planted.block)

    assert sys.getswitchinterval() == before


def test_nothing_runs_beside_a_profiler_that_needs_the_process_for_itself():
    first = collector_for_call(ProfileKind.LINE, planted.block, by_steps=False)
    second = collector_for_call(ProfileKind.SAMPLE, planted.block, by_steps=False)
    first.reserve()
    with pytest.raises(ProfilerBusyError, match="another profile"):
        second.reserve()
    first.release()
    second.reserve()
    with pytest.raises(ProfilerBusyError):
        first.reserve()
    second.release()


def test_samples_are_taken_side_by_side():
    collectors = [collector_for_call(ProfileKind.SAMPLE, planted.block, by_steps=False) for _ in range(2)]
    for collector in collectors:
        collector.reserve()
    for collector in collectors:
        collector.release()


def test_a_process_is_sampled_whatever_its_threads_do():
    over = threading.Event()

    def compute_beside():
        while not over.is_set():
            planted.compute()

    thread = threading.Thread(target=compute_beside, name="beside")
    collector = collector_for_process(ProfileKind.SAMPLE)
    collector.reserve()
    collector.begin()
    thread.start()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        planted.block()
    measured = collector.end()()
    over.set()
    thread.join()

    functions = {place.function for stack in measured.stacks for place in stack}
    assert {"compute", "block"} <= functions


def test_a_process_is_not_profiled_by_call_or_line():
    with pytest.raises(ValueError, match="sample or memory"):
        collector_for_process(ProfileKind.LINE)


def test_paths_are_told_from_where_python_looks_for_modules():
    measured = profiled(ProfileKind.LINE, planted.block)

    assert measured.top is not None
    assert measured.top.file == "tests/unit/telemetry/profiles/planted.py"
    assert measured.own_files >= {measured.top.file}
    assert str(SOURCE).endswith(measured.top.file)


def test_coroutines_that_outlive_their_agent_wake_no_profiler_that_has_ended():
    left: list[asyncio.Task[None]] = []

    async def linger():
        for _ in range(5):
            await asyncio.sleep(0.001)

    async def leaves_one_behind():
        left.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    async def afterwards():
        await asyncio.sleep(0.05)

    async def main():
        asyncio.get_running_loop().set_task_factory(meter_task_factory)
        collector = collector_for_call(ProfileKind.CPROFILE, leaves_one_behind, by_steps=True)
        collector.reserve()
        await asyncio.create_task(await_profiled(collector, leaves_one_behind, lambda: collector.end() and None))
        other = cProfile.Profile()
        other.enable()
        await left[0]
        await afterwards()
        other.disable()
        return pstats.Stats(other).stats

    stats = asyncio.run(main())

    assert any(name == "afterwards" for _, _, name in stats)


def test_what_a_module_holds_is_found_below_decorators_and_in_definitions():
    names = {function.__qualname__ for function in OwnCode(planted.sync_work).functions()}

    assert {"compute", "Shelf.sort", "Shelf.size", "Shelf.make", "remembered", "decorated"} <= names


def test_a_function_with_a_decorator_is_told_by_its_own_line():
    planted.remembered.cache_clear()
    measured = profiled(ProfileKind.CPROFILE, planted.call_remembered)

    row = next(row for row in measured.rows if row.function == "remembered")
    assert row.source == "def remembered():"

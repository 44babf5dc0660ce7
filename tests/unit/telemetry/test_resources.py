"""What an agent's code uses is put to its own account."""

import asyncio
import inspect
import os
import threading
import time
from pathlib import Path

import pytest

from agent_service.telemetry.resources import (
    MeteredCoroutine,
    ProcessTree,
    ResourceMeter,
    current_meter,
    meter_task_factory,
)

MEGABYTE = 1024 * 1024


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_sync_agents_processor_time_is_counted_and_its_waiting_is_not():
    meter = ResourceMeter()
    meter.start()
    burn(0.1)
    time.sleep(0.2)
    assert 0.1 <= meter.stop().cpu_seconds < 0.19


def test_of_two_coroutines_on_one_thread_each_pays_for_its_own_steps():
    async def agent(seconds):
        for _ in range(10):
            burn(seconds / 10)
            await asyncio.sleep(0)
        return seconds

    async def metered(seconds):
        meter = ResourceMeter(by_steps=True)
        meter.start()
        result = await MeteredCoroutine(agent(seconds), meter)
        return result, meter.stop().cpu_seconds

    async def both():
        return await asyncio.gather(metered(0.2), metered(0.02))

    (first, busy), (second, idle) = asyncio.run(both())
    assert (first, second) == (0.2, 0.02)
    assert busy >= 0.2
    assert 0.02 <= idle < 0.15


def test_tasks_that_an_agent_makes_are_counted_with_it():
    async def agent():
        await asyncio.gather(*(asyncio.create_task(step()) for _ in range(2)))

    async def step():
        burn(0.05)

    async def run():
        asyncio.get_running_loop().set_task_factory(meter_task_factory)
        meter = ResourceMeter(by_steps=True)
        current_meter.set(meter)
        meter.start()
        await MeteredCoroutine(agent(), meter)
        return meter.stop().cpu_seconds

    assert asyncio.run(run()) >= 0.1


def test_exceptions_and_cancellation_pass_through_a_metered_coroutine():
    seen = []

    async def agent():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("canceled")
            raise

    async def failing():
        await asyncio.sleep(0)
        raise ValueError("no")

    async def run():
        task = asyncio.create_task(_await(MeteredCoroutine(agent(), ResourceMeter(by_steps=True))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ValueError, match="no"):
            await MeteredCoroutine(failing(), ResourceMeter(by_steps=True))

    asyncio.run(run())
    assert seen == ["canceled"]


async def _await(awaitable):
    return await awaitable


def test_bytes_written_to_storage_are_counted(tmp_path):
    meter = ResourceMeter()
    meter.start()
    with (tmp_path / "file").open("wb") as file:
        file.write(os.urandom(2 * MEGABYTE))
        file.flush()
        os.fsync(file.fileno())
    assert meter.stop().write_bytes >= 2 * MEGABYTE


def test_the_peak_of_memory_is_that_of_the_stretch():
    meter = ResourceMeter()
    meter.start()
    block = bytearray(os.urandom(1) * (80 * MEGABYTE))
    with_block = len(block)
    del block
    peak = meter.stop().peak_memory_bytes
    later = ResourceMeter()
    later.start()
    assert peak - later.stop().peak_memory_bytes > with_block / 2


def test_a_stretch_inside_another_does_not_take_its_peak_away():
    outer, inner = ResourceMeter(), ResourceMeter()
    outer.start()
    block = bytearray(os.urandom(1) * (80 * MEGABYTE))
    del block
    inner.start()
    low = inner.stop().peak_memory_bytes
    assert outer.stop().peak_memory_bytes - low > 40 * MEGABYTE


def test_processes_that_are_gone_use_nothing():
    tree = ProcessTree(lambda: [os.getpid(), 2**22 - 7])
    assert tree.memory_bytes() > MEGABYTE
    tree.cpu_ratio()
    burn(0.05)
    assert tree.cpu_ratio() > 0


def test_a_thread_that_ended_keeps_no_file_open():
    def work():
        meter = ResourceMeter()
        meter.start()
        meter.stop()

    work()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_state_of_a_metered_coroutine_can_be_asked_for():
    async def agent():
        pass

    metered = MeteredCoroutine(agent(), ResourceMeter(by_steps=True))
    assert inspect.getcoroutinestate(metered) == inspect.CORO_CREATED
    metered.close()
    assert inspect.getcoroutinestate(metered) == inspect.CORO_CLOSED

"""Starts the parts of the embedded form, keeps them running, and stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from agent_service.embedded import guardian, probes
from agent_service.embedded.addresses import api_url, local_address
from agent_service.embedded.parts import Part, PartPlan, trim
from agent_service.embedded.plans import SystemPlan
from agent_service.embedded.restarts import RestartPolicy
from agent_service.embedded.tool_files import HOST
from agent_service.embedded.tools import Tool
from agent_service.embedded.valkey import EmbeddedValkey
from agent_service.settings import Settings

START_SECONDS = 60.0
READY = "Ready in"
"""The first words of the line that tells so."""
POLL_SECONDS = 0.05
TRIM_SECONDS = 30.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SupervisionError(Exception):
    """The system cannot run; the message is one line that says why."""


class Supervisor:
    """Runs one system from its start to its end."""

    def __init__(
        self,
        settings: Settings,
        plan: SystemPlan,
        valkey: EmbeddedValkey | None,
        *,
        say: Callable[[str], None],
        on_ready: Callable[[], None],
    ) -> None:
        """Start nothing yet.

        Args:
            settings: All settings.
            plan: The parts.
            valkey: The server among them, if any.
            say: Shows one line to the user.
            on_ready: Called once, when the service takes tasks and a worker runs them.
        """
        self._settings = settings
        self._plan = plan
        self._valkey = valkey
        self._say = say
        self._on_ready = on_ready
        self._began = time.monotonic()
        self._parts: dict[str, Part] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._end: asyncio.Future[str | None]
        self._guardian: Process

    async def run(self) -> None:
        """Run the system until a signal asks to stop.

        Raises:
            SupervisionError: A part cannot be started or does not stay alive; everything has been stopped.
        """
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` wants it for SIGHUP
                loop.add_signal_handler(number, self._on_signal)
        self._guardian = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", guardian.__file__, stdin=PIPE, stdout=DEVNULL, process_group=0
        )
        for work in (self._start_all(), self._watch_guardian(), self._trim_outputs()):
            self._spawn(work)
        failure = await self._end
        await self._stop_all()
        if failure is not None:
            raise SupervisionError(failure)

    def _on_signal(self) -> None:
        if self._stopping:
            with suppress(ProcessLookupError):
                os.killpg(self._guardian.pid, signal.SIGKILL)
        self._stopping = True
        self._finish(None)

    def _finish(self, failure: str | None) -> None:
        if not self._end.done():
            self._end.set_result(failure)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._on_task_done)
        self._tasks.append(task)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._finish(str(error) or type(error).__name__)

    # Starting

    async def _start_all(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._bring_up()
        except TimeoutError:
            raise SupervisionError(self._why_not_ready()) from None
        self._say(f"{READY} {time.monotonic() - self._began:.1f} s.")
        self._on_ready()

    async def _bring_up(self) -> None:
        if self._plan.valkey and self._valkey:
            await self._start(self._plan.valkey)
            await self._until(self._valkey.answers)
            self._report("valkey", f"127.0.0.1:{self._valkey.port}, data in {self._settings.var_dir / 'valkey'}")
        for plan in (*(tool.plan for tool in self._plan.tools), self._plan.api, *self._plan.workers):
            await self._start(plan)
        await self._until(lambda: self._ask_api("/healthz") == 200)
        self._report("api", api_url(self._settings))
        await self._workers_ready()
        await self._until(lambda: self._ask_api("/readyz") == 200)
        for tool in self._plan.tools:
            await self._tool_ready(tool)

    async def _tool_ready(self, tool: Tool) -> None:
        """Wait until it answers; one that has ended has been told of, and is not waited for."""
        task = self._keepers[tool.plan.name]
        await self._until(lambda: task.done() or probes.status(HOST, tool.port, tool.ready_path) == 200)
        if not task.done():
            self._report(tool.plan.name, tool.url)

    async def _start(self, plan: PartPlan) -> None:
        self._parts[plan.name] = await Part.start(plan, process_group=self._guardian.pid)
        self._keepers[plan.name] = self._spawn(self._keep(plan))

    async def _workers_ready(self) -> None:
        """Wait until each worker is among those that the API tells Prometheus about."""
        waiting = {plan.name for plan in self._plan.workers}
        while waiting:
            registered = await asyncio.to_thread(self._registered_workers)
            for name in sorted(waiting):
                # The pid is looked up anew, since a worker that died meanwhile was started again under another one.
                pid = self._parts[name].pid
                if any(f"-{pid}-" in worker for worker in registered):
                    waiting.remove(name)
                    self._report(name, f"pid {pid}")
            await asyncio.sleep(POLL_SECONDS)

    def _registered_workers(self) -> list[str]:
        host = local_address(self._settings.metrics_host)
        _, targets = probes.get(host, self._settings.metrics_port, "/sd/workers")
        return [target["labels"]["worker"] for target in targets or ()]

    def _ask_api(self, path: str) -> int:
        return probes.get(local_address(self._settings.api_host), self._settings.api_port, path)[0]

    def _why_not_ready(self) -> str:
        last = next((part for part in reversed(self._parts.values())), None)
        said = f"; the last line of {last.plan.output}: {last.last_words()}" if last else ""
        return f"not ready after {START_SECONDS:.0f} s{said}"

    async def _until(self, condition: Callable[[], bool]) -> None:
        # What is waited for happens in another process, which can set no event here.
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)

    def _report(self, name: str, where: str) -> None:
        self._say(f"  {name:<20} ready after {time.monotonic() - self._began:4.1f} s   {where}")

    # Keeping

    async def _keep(self, plan: PartPlan) -> None:
        """Start the part again whenever it dies; one that is not needed is given up when it keeps dying.

        Raises:
            SupervisionError: It keeps dying, and is needed.
        """
        policy = RestartPolicy()
        while True:
            part = self._parts[plan.name]
            wait = policy.wait_after(await part.ended())
            if wait is None:
                why = (
                    f"{plan.name} died {policy.early_deaths} times in a row soon after its start "
                    f"({part.how_it_ended()}): {part.last_words()}"
                )
                if plan.needed:
                    raise SupervisionError(why)
                self._say(f"{why}; it is left out")
                return
            self._say(f"{plan.name} died ({part.how_it_ended()}); it starts again in {wait:.1f} s")
            await asyncio.sleep(wait)
            self._parts[plan.name] = await Part.start(plan, process_group=self._guardian.pid)

    async def _watch_guardian(self) -> None:
        await self._guardian.wait()
        raise SupervisionError("the guardian process was killed, so everything is stopped; start again")

    async def _trim_outputs(self) -> None:
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            for plan in self._plan.all:
                await asyncio.to_thread(trim, plan.output)

    # Stopping

    async def _stop_all(self) -> None:
        """Stop the workers first, since they need the rest to hand back what they run, and the data last."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._say("Stopping; running tasks may end first. A second Ctrl-C kills everything at once.")
        await asyncio.gather(*(self._stop(plan) for plan in self._plan.workers))
        await self._stop(self._plan.api)
        # The last spans and metrics of the others are for these.
        await asyncio.gather(*(self._stop(tool.plan) for tool in self._plan.tools))
        if self._plan.valkey:
            await self._stop(self._plan.valkey)
        if self._guardian.stdin:
            self._guardian.stdin.close()
        await self._guardian.wait()
        self._say("Stopped.")

    async def _stop(self, plan: PartPlan) -> None:
        part = self._parts.get(plan.name)
        if part and not await part.stop():
            self._say(f"{plan.name} did not stop within {plan.stop_seconds:.0f} s and was killed")

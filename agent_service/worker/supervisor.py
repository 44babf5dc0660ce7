"""The worker's long-lived process: starts the child, watches it, and settles what it leaves when it dies."""

from __future__ import annotations

import logging
import os
import queue
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from redis.exceptions import RedisError

from agent_service.settings import Settings
from agent_service.tasks import profiles
from agent_service.tasks.ledger import Ledger
from agent_service.tasks.models import TaskError
from agent_service.tasks.rq_worker import Command
from agent_service.telemetry.contract import Outcome
from agent_service.telemetry.logs import LogContext, bound
from agent_service.worker.lost import record_lost_run
from agent_service.worker.measures import Measures, RunningTask
from agent_service.worker.protocol import (
    Channel,
    Counted,
    Drain,
    Ended,
    GivenUp,
    Leaving,
    Message,
    ProfileYourself,
    Ready,
    Started,
    Stop,
    Suspend,
    WatchProfiles,
)

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
READY_SECONDS = 60.0
LEAVE_SECONDS = 15.0
"""How long a child that said it leaves may take to flush what it has."""
EARLY_DEATHS = 3
"""So many children in a row that die before they were ready end the worker: it cannot work at all."""


class ChildNeverReadyError(Exception):
    """The child dies while it starts, such as when an agent's module cannot be imported; its log says why."""


class Supervisor:
    """Keeps one child working, whatever its tasks do to it."""

    def __init__(self, settings: Settings, queue_name: str, name: str, ledger: Ledger, measures: Measures) -> None:
        self._settings = settings
        self._queue_name = queue_name
        self._name = name
        self._ledger = ledger
        self._measures = measures
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._running: dict[str, RunningTask] = {}
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._was_ready = False
        self._early_deaths = 0
        self._deadline = 0.0
        self._kill_reason: str | None = None
        self._suspended = False
        self._draining = False
        self._signals = 0

    # What other threads call: they only leave a note.

    def obey(self, command: Command) -> None:
        """Take one of RQ's commands, `stop-job`, `stop-execution`, `kill-horse`, `shutdown`, or one of our own."""
        self._post(lambda: self._on_command(command))

    def suspend(self, suspended: bool) -> None:
        """Let the child take tasks, or not."""
        self._post(lambda: self._on_suspend(suspended))

    def runs(self) -> list[tuple[str, str]]:
        """Return task id and execution id of every run."""
        with self._lock:
            return [(task.told.task_id, execution_id) for execution_id, task in self._running.items()]

    def child_pids(self) -> list[int]:
        """Return the process ids of the worker: its own and the child's."""
        child = self._child
        return [os.getpid(), *([child.pid] if child else [])]

    def on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        """Shut down warm at the first SIGTERM or SIGINT, at once at the second."""
        self._post(self._on_shutdown)

    # The loop.

    def run(self) -> None:
        """Work until told to shut down.

        Raises:
            ChildNeverReadyError: Three children in a row died while they started.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while not (self._draining and self._child is None):
                if self._child is None:
                    self._spawn(selector)
                for key, _ in selector.select(TICK_SECONDS):
                    self._on_readable(selector, key.fileobj)
                self._check_deadlines(time.time())

    def _on_readable(self, selector: selectors.BaseSelector, source: object) -> None:
        if source is self._wake_reader:
            self._wake_reader.recv(4096)
            while not self._inbox.empty():
                self._inbox.get()()
            return
        channel = self._channel
        if channel is None:
            return
        try:
            for message in channel.receive():
                self._on_message(message)
        except EOFError:
            selector.unregister(channel)
            self._on_death()

    def _post(self, note: Callable[[], None]) -> None:
        self._inbox.put(note)
        with suppress(BlockingIOError):  # enough wake-ups are pending then
            self._wake_writer.send(b"!")

    # The child.

    def _spawn(self, selector: selectors.BaseSelector) -> None:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-m", "agent_service.worker.child", self._queue_name, self._name, str(theirs.fileno())]
        # A session of its own keeps a terminal's Ctrl-C from the child: the supervisor decides what it means.
        self._child = subprocess.Popen(argv, pass_fds=[theirs.fileno()], start_new_session=True)  # noqa: S603
        theirs.close()
        self._channel = Channel(ours)
        self._was_ready = False
        self._kill_reason = None
        self._deadline = time.time() + READY_SECONDS
        selector.register(self._channel, selectors.EVENT_READ)
        if self._suspended:
            self._tell(Suspend(True))
        if self._draining:
            self._tell(Drain())

    def _tell(self, message: Message) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(message)
        except OSError:
            logger.debug("the child is gone already")

    def _kill(self, reason: str) -> None:
        if self._child is None or self._kill_reason is not None:
            return
        self._kill_reason = reason
        logger.error("killing the child: %s", reason)
        self._child.kill()

    def _on_death(self) -> None:
        """Settle the tasks of a child that is gone, and make room for the next."""
        child, channel = self._child, self._channel
        if child is None or channel is None:
            return
        status = child.wait()
        channel.close()
        self._child = self._channel = None
        if status != 0:
            logger.error("the child died: %s", _describe(status))
        for execution_id in list(self._running):
            self._settle_lost(execution_id, status)
        if self._was_ready or self._draining:
            self._early_deaths = 0
            return
        self._early_deaths += 1
        if self._early_deaths >= EARLY_DEATHS:
            raise ChildNeverReadyError(f"the worker's child cannot start: {_describe(status)}; its log says why")
        time.sleep(0.5 * self._early_deaths)

    def _settle_lost(self, execution_id: str, status: int) -> None:
        task = self._take(execution_id)
        if task is None:
            return
        now = time.time()
        outcome, error = self._verdict(task, status, now)
        told = task.told
        context = LogContext(told.task_id, told.agent, told.agent_id, told.workflow_id)
        with bound(context):
            try:
                settled = self._ledger.settle(told.task_id, execution_id, error, outcome, told.traceparent)
            except RedisError as away:
                logger.error("the end of the task is not written, another worker will: %s", away)
                self._measures.forget(task)
                return
            if settled is None:
                self._measures.forget(task)
                return
            final = settled
            if final is not Outcome.SUCCESS:
                logger.error("task lost with its process: %s", error.message, extra={"outcome": final.value})
        record_lost_run(told, self._queue_name, final, error, now)
        error_type = None if final is Outcome.SUCCESS else error.type
        self._measures.settled(task, final, now - told.started_at, now, error_type)

    def _verdict(self, task: RunningTask, status: int, now: float) -> tuple[Outcome, TaskError]:
        told = task.told
        if task.stop_requested:
            return Outcome.CANCELED, TaskError(type="TaskStoppedError", message="the task was stopped on request")
        if now >= told.started_at + told.timeout:
            message = f"the task ran longer than its {told.timeout} s and did not let itself be interrupted"
            return Outcome.TIMEOUT, TaskError(type="TaskTimeoutError", message=message)
        reason = self._kill_reason or _describe(status)
        return Outcome.CRASH, TaskError(type="WorkerChildDied", message=f"the process that ran the task died: {reason}")

    # What the child says.

    def _on_message(self, message: Message) -> None:
        match message:
            case Ready():
                self._on_ready()
            case Started():
                self._on_started(message)
            case Ended() | GivenUp():
                self._on_ended(message)
            case Counted():
                self._measures.counted(message)
            case Leaving():
                self._deadline = time.time() + LEAVE_SECONDS

    def _on_ready(self) -> None:
        self._was_ready = True
        if not self._draining:
            self._deadline = 0.0
        pid = self._child.pid if self._child else 0
        logger.info("worker takes tasks", extra={"queue": self._queue_name, "child": pid})

    def _on_ended(self, message: Ended | GivenUp) -> None:
        task = self._take(message.execution_id)
        if task is None:
            return
        if isinstance(message, Ended):
            self._measures.ended(task, message)
        else:
            self._measures.forget(task)

    def _on_started(self, told: Started) -> None:
        grace = self._settings.worker_stop_seconds
        task = RunningTask(told, kill_at=told.started_at + told.timeout + grace)
        with self._lock:
            self._running[told.execution_id] = task
        self._measures.started(task)

    def _take(self, execution_id: str) -> RunningTask | None:
        with self._lock:
            return self._running.pop(execution_id, None)

    # What others say.

    def _on_command(self, command: Command) -> None:
        match command.get("command"):
            case "stop-job":
                self._stop(lambda task: task.told.task_id == command.get("job_id"))
            case "stop-execution":
                self._stop(lambda task: task.told.execution_id == command.get("execution_id"))
            case "kill-horse":
                self._kill("RQ's kill-horse command")
            case "shutdown":
                self._on_shutdown()
            case profiles.WATCH_COMMAND:
                self._tell(WatchProfiles())
            case profiles.PROFILE_COMMAND:
                self._tell(ProfileYourself(command["profile_id"], command["kind"], command["seconds"]))

    def _stop(self, wanted: Callable[[RunningTask], bool]) -> None:
        for task in self._running.values():
            if wanted(task) and not task.stop_requested:
                task.stop_requested = True
                task.kill_at = time.time() + self._settings.worker_stop_seconds
                self._tell(Stop(task.told.execution_id))

    def _on_suspend(self, suspended: bool) -> None:
        self._suspended = suspended
        self._tell(Suspend(suspended))

    def _on_shutdown(self) -> None:
        self._signals += 1
        if self._signals > 1:
            self._kill("told twice to shut down")
            return
        logger.info("worker shuts down once its tasks have ended")
        self._draining = True
        self._deadline = time.time() + self._settings.worker_shutdown_seconds
        self._tell(Drain())

    def _check_deadlines(self, now: float) -> None:
        if self._deadline and now > self._deadline:
            self._kill("shutdown took too long" if self._draining else "it did not get ready, or did not leave")
        for task in self._running.values():
            if now > task.kill_at:
                what = "a request to stop" if task.stop_requested else "its time limit"
                self._kill(f"task {task.told.task_id} of agent {task.told.agent} ignored {what}")


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"

"""The worker's long-lived process: starts the child, watches it, and settles what it leaves when it dies."""

from __future__ import annotations

import logging
import os
import queue
import select
import selectors
import signal
import socket
import threading
import time
from base64 import b64decode
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
from agent_service.telemetry.traces import forward_spans
from agent_service.worker.measures import Measures, RunningTask
from agent_service.worker.process import ChildProcess
from agent_service.worker.protocol import (
    Counted,
    Drain,
    Ended,
    GivenUp,
    Leaving,
    Message,
    ProfileYourself,
    Ready,
    Retiring,
    Started,
    Stop,
    Suspend,
    Traced,
    WatchProfiles,
)
from agent_service.worker.records import record_run

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
GATHER_SECONDS = 0.02
"""How long what a child says may wait, so that more of it is heard at once."""
CATCH_UP_SECONDS = 0.5
LEAVE_SECONDS = 15.0
"""How long a child that said it leaves may take to flush what it has."""
STOP_MEMORY_SECONDS = 10.0
"""How long a request to stop an unknown task is remembered: the news of its start may still be on its way."""
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
        self._child: ChildProcess | None = None
        self._successor: ChildProcess | None = None
        self._asked_to_stop: dict[str, float] = {}
        self._selector = selectors.DefaultSelector()
        self._early_deaths = 0
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
        return [os.getpid(), *(child.pid for child in (self._child, self._successor) if child)]

    def catch_up(self) -> None:
        """Wait, from another thread, until everything that the child has said by now is heard."""
        heard = threading.Event()
        self._post(heard.set)
        heard.wait(CATCH_UP_SECONDS)

    def on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        """Shut down warm at the first SIGTERM or SIGINT, at once at the second."""
        self._post(self._on_shutdown)

    # The loop.

    def run(self) -> None:
        """Work until told to shut down.

        Raises:
            ChildNeverReadyError: Three children in a row died while they started.
        """
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._wake_reader, selectors.EVENT_READ)
            while not (self._draining and self._child is None and self._successor is None):
                if self._child is None and not self._draining:
                    self._child = self._spawn(suspended=self._suspended)
                ready = [key.data for key, _ in self._selector.select(TICK_SECONDS)]
                for child in filter(None, ready):
                    self._listen(child)
                if None in ready:  # after the children, since a note may be about what they have just said
                    self._read_notes()
                self._check_deadlines(time.time())
                # A busy child says thousands of things a second: better to listen to many at once.
                select.select([self._wake_reader], [], [], GATHER_SECONDS)

    def _read_notes(self) -> None:
        self._wake_reader.recv(4096)
        while not self._inbox.empty():
            self._inbox.get()()

    def _listen(self, child: ChildProcess) -> None:
        try:
            for message in child.channel.receive():
                self._on_message(child, message)
        except EOFError:
            self._selector.unregister(child.channel)
            self._on_death(child)

    def _post(self, note: Callable[[], None]) -> None:
        self._inbox.put(note)
        with suppress(BlockingIOError):  # enough wake-ups are pending then
            self._wake_writer.send(b"!")

    # The child.

    def _spawn(self, *, suspended: bool) -> ChildProcess:
        """Start a child, which waits for our first word: whether it may take tasks."""
        child = ChildProcess(self._queue_name, self._name)
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        child.tell(Suspend(suspended))
        if self._draining:
            child.tell(Drain())
        return child

    def _spawn_successor(self) -> None:
        """Start the next child while this one still works, so that nobody waits for it; it takes no tasks yet."""
        if self._successor is None and not self._draining:
            self._successor = self._spawn(suspended=True)

    def _tell(self, message: Message) -> None:
        if self._child is not None:
            self._child.tell(message)

    def _on_death(self, child: ChildProcess) -> None:
        """Settle the tasks of a child that is gone, and make room for the next."""
        status = child.bury()
        if status != 0:
            logger.error("the child died: %s", _describe(status))
        if child is self._successor:
            self._successor = None
            return
        self._child = None
        self._give_back_unheard()
        for execution_id in list(self._running):
            self._settle_lost(execution_id, child.kill_reason or _describe(status))
        self._note_early_death(child, status)
        self._promote()

    def _give_back_unheard(self) -> None:
        try:
            count = self._ledger.give_back_unheard(self._running)
        except RedisError as away:
            logger.error("tasks that the child had taken are not given back, another worker will find them: %s", away)
            return
        if count:
            logger.warning("%d tasks that the child had taken but not begun are back in their queue", count)

    def _promote(self) -> None:
        self._child, self._successor = self._successor, None
        if self._child is not None and self._draining:
            self._child.tell(Drain())
        elif self._child is not None and not self._suspended:
            self._child.tell(Suspend(False))

    def _note_early_death(self, child: ChildProcess, status: int) -> None:
        if child.was_ready or self._draining:
            self._early_deaths = 0
            return
        if status != -signal.SIGKILL:  # which comes from outside, and says nothing about whether a child can start
            self._early_deaths += 1
        if self._early_deaths >= EARLY_DEATHS:
            raise ChildNeverReadyError(f"the worker's child cannot start: {_describe(status)}; its log says why")
        time.sleep(0.5 * max(1, self._early_deaths))

    def _settle_lost(self, execution_id: str, reason: str) -> None:
        task = self._take(execution_id)
        if task is None:
            return
        now = time.time()
        outcome, error = _verdict(task, reason, now)
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
        why = None if final is Outcome.SUCCESS else error
        record_run(told, self._queue_name, final, why, now)
        self._measures.settled(task, final, now - told.started_at, now, why.type if why else None)

    # What the child says.

    def _on_message(self, child: ChildProcess, message: Message) -> None:
        match message:
            case Started():
                self._on_started(message)
            case Ended() | GivenUp():
                self._on_ended(message)
            case Counted():
                self._measures.counted(message)
            case Traced():
                forward_spans(b64decode(message.otlp))
            case Ready():
                self._on_ready(child)
            case Retiring():
                self._spawn_successor()
            case Leaving():
                child.deadline = time.time() + LEAVE_SECONDS

    def _on_ready(self, child: ChildProcess) -> None:
        child.was_ready = True
        if not self._draining:
            child.deadline = 0.0
        logger.info("worker takes tasks", extra={"queue": self._queue_name, "child": child.pid})

    def _on_ended(self, message: Ended | GivenUp) -> None:
        task = self._take(message.execution_id)
        if task is None:
            return
        if isinstance(message, Ended) and self._settings.telemetry:
            self._measures.ended(task, message)
            self._record(task.told, message)
        else:
            self._measures.forget(task)

    def _record(self, told: Started, ended: Ended) -> None:
        error = TaskError(type=ended.error_type, message=ended.error_message or "") if ended.error_type else None
        record_run(told, self._queue_name, Outcome(ended.outcome), error, ended.ended_at)

    def _on_started(self, told: Started) -> None:
        grace = self._settings.worker_stop_seconds
        task = RunningTask(told, kill_at=told.started_at + told.timeout + grace)
        with self._lock:
            self._running[told.execution_id] = task
        self._measures.started(task)
        if self._asked_to_stop and self._asked_to_stop.pop(told.task_id, 0) > time.time():
            self._stop(lambda task: task.told.execution_id == told.execution_id)

    def _take(self, execution_id: str) -> RunningTask | None:
        with self._lock:
            return self._running.pop(execution_id, None)

    # What others say.

    def _on_command(self, command: Command) -> None:
        match command.get("command"):
            case "stop-job":
                task_id = str(command.get("job_id"))
                self._asked_to_stop[task_id] = time.time() + STOP_MEMORY_SECONDS
                self._stop(lambda task: task.told.task_id == task_id)
            case "stop-execution":
                self._stop(lambda task: task.told.execution_id == command.get("execution_id"))
            case "kill-horse":
                if self._child:
                    self._child.kill("RQ's kill-horse command")
            case "shutdown":
                self._on_shutdown()
            case _:
                self._on_profile_command(command)

    def _on_profile_command(self, command: Command) -> None:
        match command.get("command"):
            case profiles.WATCH_COMMAND:
                for child in filter(None, (self._child, self._successor)):
                    child.tell(WatchProfiles())
            case profiles.PROFILE_COMMAND:
                self._tell(ProfileYourself(command["profile_id"], command["kind"], command["seconds"]))

    def _stop(self, wanted: Callable[[RunningTask], bool]) -> None:
        for task in self._running.values():
            if wanted(task) and not task.stop_requested:
                self._asked_to_stop.pop(task.told.task_id, None)
                task.stop_requested = True
                task.kill_at = time.time() + self._settings.worker_stop_seconds
                self._tell(Stop(task.told.execution_id))

    def _on_suspend(self, suspended: bool) -> None:
        self._suspended = suspended
        self._tell(Suspend(suspended))

    def _on_shutdown(self) -> None:
        self._signals += 1
        children = [child for child in (self._child, self._successor) if child]
        if self._signals > 1:
            for child in children:
                child.kill("told twice to shut down")
            return
        logger.info("worker shuts down once its tasks have ended")
        self._draining = True
        for child in children:
            child.deadline = time.time() + self._settings.worker_shutdown_seconds
            child.tell(Drain())

    def _check_deadlines(self, now: float) -> None:
        for child in (self._child, self._successor):
            if child and child.deadline and now > child.deadline:
                child.kill("shutdown took too long" if self._draining else "it did not get ready, or did not leave")
        for task in self._running.values():
            if self._child and now > task.kill_at:
                what = "a request to stop" if task.stop_requested else "its time limit"
                self._child.kill(f"task {task.told.task_id} of agent {task.told.agent} ignored {what}")


def _verdict(task: RunningTask, reason: str, now: float) -> tuple[Outcome, TaskError]:
    """Return how a run ended whose process died."""
    told = task.told
    if task.stop_requested:
        return Outcome.CANCELED, TaskError(type="TaskStoppedError", message="the task was stopped on request")
    if now >= told.started_at + told.timeout:
        message = f"the task ran longer than its {told.timeout} s and did not let itself be interrupted"
        return Outcome.TIMEOUT, TaskError(type="TaskTimeoutError", message=message)
    return Outcome.CRASH, TaskError(type="WorkerChildDied", message=f"the process that ran the task died: {reason}")


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"

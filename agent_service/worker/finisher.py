"""Ends runs inside the child: has the end written down, then tells the supervisor, which records it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from redis.exceptions import RedisError

from agent_service.tasks.errors import TaskNotFoundError
from agent_service.tasks.ledger import Ledger, StartedTask, Success
from agent_service.tasks.models import TaskError
from agent_service.telemetry.contract import Outcome
from agent_service.worker.attempt import classify
from agent_service.worker.protocol import Channel, Ended, GivenUp
from agent_service.worker.runner import Ending, Runner, Running

logger = logging.getLogger(__name__)


class Finisher:
    """Writes down how runs ended."""

    def __init__(self, ledger: Ledger, runner: Runner, channel: Channel) -> None:
        self._ledger = ledger
        self._runner = runner
        self._channel = channel

    def finish(self, ending: Ending, wanted: int) -> list[StartedTask]:
        """Write down an end, and take `wanted` tasks in the same step where it is a usual success."""
        if not ending.is_usual:
            self.finish_alone(ending)
            return []
        _tell_success(ending)
        try:
            started = self._ledger.step([_success(ending)], wanted)
        except RedisError as error:
            self.give_up([ending], error)
            return []
        self.succeeded([ending])
        return started

    async def finish_together(self, endings: Sequence[Ending], wanted: int) -> list[StartedTask]:
        """Write down the ends of runs that succeeded, and take `wanted` tasks in the same step.

        Raises:
            RedisError: Redis stayed away; the ends are given up.
        """
        for ending in endings:
            _tell_success(ending)
        try:
            started = await self._ledger.step_async([_success(ending) for ending in endings], wanted)
        except RedisError as error:
            self.give_up(endings, error)
            raise
        self.succeeded(endings)
        return started

    def finish_alone(self, ending: Ending) -> None:
        """Write down a failure, or a success that RQ has more to do for, by RQ's own methods."""
        running = ending.running
        outcome, error = Outcome.SUCCESS, None
        try:
            failure = self._call_back(ending)
            if failure is None:
                _tell_success(ending)
                self._ledger.finish(running.started, ending.result or {})
            else:
                outcome, error = classify(failure)
                outcome = self._ledger.fail(running.started, error, outcome, running.attempt.traceparent)
        except (RedisError, TaskNotFoundError) as away:
            self.give_up([ending], away)
            return
        self._close(ending, outcome, error)
        self._channel.send()

    def _call_back(self, ending: Ending) -> BaseException | None:
        """Run what RQ's `on_success` or `on_failure` asked for, and return what has ended the run then."""
        running, failure = ending.running, ending.failure
        started = running.started
        if not started.job.names_callbacks:
            return failure
        if failure is None:
            failure = _raised_by(running, lambda: self._ledger.call_success(started, ending.result or {}))
        if failure is None or classify(failure)[0] is Outcome.CANCELED:
            return failure
        cause = failure
        return _raised_by(running, lambda: self._ledger.call_failure(started, cause)) or cause

    def succeeded(self, endings: Sequence[Ending]) -> None:
        """Close runs whose success is written; the supervisor is told with the next message."""
        for ending in endings:
            self._close(ending, Outcome.SUCCESS, None)

    def give_up(self, endings: Sequence[Ending], error: Exception) -> None:
        """Leave runs to whoever finds them abandoned, since their ends could not be written."""
        for ending in endings:
            started = ending.running.started
            logger.error("the end of task %s is not written: %s", started.id, error)
            self._runner.forget(ending.running)
            self._channel.send(GivenUp(started.execution_id))

    def _close(self, ending: Ending, outcome: Outcome, error: TaskError | None) -> None:
        running, use = ending.running, ending.use
        self._channel.keep(
            Ended(
                execution_id=running.started.execution_id,
                outcome=outcome.value,
                seconds=ending.seconds,
                ended_at=datetime.now(UTC).timestamp(),
                error_type=error.type if error else None,
                error_message=error.message if error else None,
                cpu_seconds=use.cpu_seconds,
                read_bytes=use.read_bytes,
                write_bytes=use.write_bytes,
                peak_memory_bytes=use.peak_memory_bytes,
            )
        )
        self._runner.forget(running)


def _tell_success(ending: Ending) -> None:
    """Log the last line of a run, before its end is written: then no task is finished whose log does not say so."""
    attempt = ending.running.attempt
    if logger.isEnabledFor(logging.INFO):
        with attempt.logged():
            extra = {"seconds": round(ending.seconds, 6), "attempt": attempt.started.attempt}
            logger.info("task finished", extra=extra)


def _raised_by(running: Running, callback: Callable[[], None]) -> BaseException | None:
    with running.attempt.logged():
        try:
            callback()
        except BaseException as error:  # whatever a callback raises is how its task ended
            logger.exception("a callback of the task failed")
            return error
    return None


def _success(ending: Ending) -> Success:
    return Success(ending.running.started, ending.result or {})

"""Ends a sync agent from outside: at its deadline, and when somebody asks to stop it.

Only the main thread of a process can be interrupted by a signal, which is why sync agents run there. The exceptions
are no `Exception`s, so that an agent that catches those does not swallow its own end; one that catches everything is
killed by the supervisor.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNAL = signal.SIGUSR1


class TaskTimeoutError(BaseException):
    """The task ran longer than it may."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the task ran longer than its {seconds} s")


class TaskStoppedError(BaseException):
    """Somebody asked to stop the task."""

    def __init__(self) -> None:
        super().__init__("the task was stopped on request")


class Interrupts:
    """The signal handlers of a child's main thread."""

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._timeout = 0
        self._armed: str | None = None
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(STOP_SIGNAL, self._on_stop)

    @contextmanager
    def armed(self, execution_id: str, timeout: int) -> Iterator[None]:
        """Let the code inside be interrupted after `timeout` seconds, or by `stop`.

        Raises:
            TaskTimeoutError: The time is over.
            TaskStoppedError: `stop` was called.
        """
        self._timeout = timeout
        self._armed = execution_id
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            yield
        finally:
            self._armed = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def stop(self, execution_id: str) -> bool:
        """Interrupt the run of that id, from another thread; False when it is not the one that runs."""
        if self._armed != execution_id or self._main is None:
            return False
        signal.pthread_kill(self._main, STOP_SIGNAL)
        return True

    def _on_alarm(self, _signum: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = None
            raise TaskTimeoutError(self._timeout)

    def _on_stop(self, _signum: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = None
            raise TaskStoppedError

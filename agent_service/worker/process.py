"""One child process, as its supervisor holds it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time

from agent_service.worker.protocol import Channel, Message

logger = logging.getLogger(__name__)

READY_SECONDS = 60.0


class ChildProcess:
    """A child that was started, and the line to it.

    Attributes:
        channel: What it says and is told.
        was_ready: Whether it has said that it can take tasks.
        deadline: When it is killed, on the clock of `time.time`; 0 for never.
        kill_reason: Why it was killed, once it was.
    """

    def __init__(self, queue_name: str, name: str) -> None:
        """Start a child for a queue, under the name of its worker."""
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-m", "agent_service.worker.child", queue_name, name, str(theirs.fileno())]
        # A session of its own keeps a terminal's Ctrl-C from the child: the supervisor decides what it means.
        self._popen = subprocess.Popen(argv, pass_fds=[theirs.fileno()], start_new_session=True)  # noqa: S603
        theirs.close()
        self.channel = Channel(ours)
        self.was_ready = False
        self.deadline = time.time() + READY_SECONDS
        self.kill_reason: str | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def tell(self, message: Message) -> None:
        """Send it a message, if it still lives."""
        try:
            self.channel.send(message)
        except OSError:
            logger.debug("the child is gone already")

    def kill(self, reason: str) -> None:
        """Kill it, once."""
        if self.kill_reason is None:
            self.kill_reason = reason
            logger.error("killing the child: %s", reason)
            self._popen.kill()

    def bury(self) -> int:
        """Wait for its end, which has come, close the line, and return its exit status, negative for a signal."""
        status = self._popen.wait()
        self.channel.close()
        return status

"""What a supervisor and its child say to each other: one JSON array a line over a socket pair.

The child tells before it runs a task and after it, so the supervisor knows at every moment what is lost if the child
dies. What the child has sent stays readable after its death.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from agent_service.telemetry.contract import Metric


@dataclass(frozen=True, slots=True)
class Ready:
    """Child: it has imported everything and waits for tasks."""


@dataclass(frozen=True, slots=True)
class Started:
    """Child: it begins to run a task.

    Attributes:
        started_at: Unix time in seconds.
        waited: Seconds from being ready to being started.
        traceparent: W3C context of the attempt's span.
        parent: W3C context of the PRODUCER span.
        first: W3C context of the first attempt's span, where this is not it.
        submitted_at: Unix time in seconds.
    """

    execution_id: str
    task_id: str
    agent: str
    agent_id: str
    workflow_id: str | None
    attempt: int
    timeout: int
    started_at: float
    waited: float
    submitted_at: float
    traceparent: str
    parent: str | None
    first: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """Child: it has run a task and written down its end.

    Attributes:
        outcome: An `Outcome`.
        seconds: How long the agent ran.
        ended_at: Unix time in seconds.
    """

    execution_id: str
    outcome: str
    seconds: float
    ended_at: float
    error_type: str | None
    error_message: str | None
    cpu_seconds: float
    read_bytes: int
    write_bytes: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Child: add to a counter of the contract, which the supervisor shows.

    Attributes:
        metric: Its name.
    """

    metric: str
    amount: float
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Traced:
    """Child: a span has ended; send it, since the child may be dead before it could.

    Attributes:
        otlp: The span as OTLP, in base64.
    """

    otlp: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Child: the end of a run could not be written down, Redis being away; no more heartbeats for it, please."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Retiring:
    """Child: it will soon have run as many tasks as it may; its successor had better be started."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Child: it has run as many tasks as it may, or was told to drain, and has ended them all."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Supervisor: end this run."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Suspend:
    """Supervisor: take no tasks until told otherwise."""

    suspended: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Supervisor: take no further tasks, end those that run, and leave."""


@dataclass(frozen=True, slots=True)
class WatchProfiles:
    """Supervisor: read again of which agents tasks are to be profiled."""


@dataclass(frozen=True, slots=True)
class ProfileYourself:
    """Supervisor: profile everything that you do.

    Attributes:
        profile_id: The id of the profile.
        profile_kind: A `ProfileKind`.
        seconds: For how long.
    """

    profile_id: str
    profile_kind: str
    seconds: float


Message = (
    Ready
    | Started
    | Ended
    | Counted
    | Traced
    | GivenUp
    | Retiring
    | Leaving
    | Stop
    | Suspend
    | Drain
    | WatchProfiles
    | ProfileYourself
)
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}


class Channel:
    """One end of the socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._buffer = b""
        self._kept: list[bytes] = []

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._sock.fileno()

    def send(self, *messages: Message) -> None:
        """Send messages, after those that were kept.

        Raises:
            OSError: The other side is gone.
        """
        with self._lock:
            lines, self._kept = [*self._kept, *map(_encode, messages)], []
            self._sock.sendall(b"".join(lines))

    def keep(self, message: Message) -> None:
        """Keep a message that is in no hurry; it goes with the next one that is sent."""
        with self._lock:
            self._kept.append(_encode(message))

    def receive(self) -> Iterator[Message]:
        """Wait for data and yield the messages that are whole.

        Raises:
            EOFError: The other side is gone.
        """
        try:
            data = self._sock.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield _decode(line)

    def drain(self) -> Iterator[Message]:
        """Yield everything that the other side had sent before it died."""
        try:
            while True:
                yield from self.receive()
        except EOFError:
            return

    def is_open(self) -> bool:
        """Return whether the other side is there, whatever it has said that is still to be read."""
        poll = select.poll()
        poll.register(self._sock, select.POLLHUP)
        return not poll.poll(0)

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


class ForwardedCounters:
    """Counts in the supervisor what happens in the child, such as the submission of a sub-task."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a counter."""
        self._channel.send(Counted(metric.name, amount, labels))


def _encode(message: Message) -> bytes:
    kind = type(message)
    return orjson.dumps([kind.__name__, *(getattr(message, name) for name in kind.__slots__)]) + b"\n"


def _decode(line: bytes) -> Message:
    kind, *values = orjson.loads(line)
    message: Message = _KINDS[kind](*values)
    return message

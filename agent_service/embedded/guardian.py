"""Kills the embedded form's processes when their supervisor is gone, however it went.

The supervisor starts this file as a process of its own, the leader of a process group that every other part joins, and
holds the other end of its standard input. When the supervisor dies, even by SIGKILL, that end closes, and the whole
group is killed. A pipe and a process group are all it takes, so this works alike on Linux and macOS and reaches
children of children that stayed in the group; Linux' PR_SET_PDEATHSIG does neither.

It imports nothing of the package, so that it costs a few megabytes and starts at once.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Wait for the end of standard input, then kill the own process group."""
    if os.getpgrp() != os.getpid():
        sys.exit("the guardian must lead a process group of its own; it is started by `agent-service up`")
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""One child process of the embedded form."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 64 * 1024
OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How a part is started.

    Attributes:
        name: What the user reads, and the name of its output file.
        command: Its command line.
        environment: Its whole environment.
        output: The file that its standard output and error are appended to.
        stop_seconds: How long it may take to stop before it is killed.
        pass_fds: Open files that it inherits.
        needed: Whether the system ends when it does not stay alive.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    output: Path
    stop_seconds: float
    pass_fds: tuple[int, ...] = ()
    needed: bool = True


class Part:
    """A part that has been started.

    Attributes:
        plan: How it is started.
    """

    def __init__(self, plan: PartPlan, process: Process, output_start: int) -> None:
        self.plan = plan
        self._process = process
        self._started = time.monotonic()
        self._output_start = output_start

    @classmethod
    async def start(cls, plan: PartPlan, *, process_group: int) -> Part:
        """Start the process in the group that the guardian kills.

        Raises:
            OSError: The program or its output file cannot be opened.
        """
        plan.output.parent.mkdir(parents=True, exist_ok=True)
        with plan.output.open("ab") as output:
            output_start = output.tell()
            process = await asyncio.create_subprocess_exec(
                *plan.command,
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                env=plan.environment,
                pass_fds=plan.pass_fds,
                process_group=process_group,
            )
        return cls(plan, process, output_start)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ended(self) -> float:
        """Wait until it ends and return how long it lived, in seconds."""
        await self._process.wait()
        return time.monotonic() - self._started

    def how_it_ended(self) -> str:
        """Return how it ended, for a person."""
        code = self._process.returncode
        if code is None:
            return "still running"
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def last_words(self) -> str:
        """Return the last line that it wrote, or that it wrote none."""
        with self.plan.output.open("rb") as output:
            end = output.seek(0, os.SEEK_END)
            output.seek(max(self._output_start, end - TAIL_BYTES) if end > self._output_start else end)
            lines = output.read().decode(errors="replace").strip().splitlines()
        return _message(lines[-1]) if lines else "it wrote nothing"

    async def stop(self) -> bool:
        """Ask it to stop, wait, and kill it when it takes too long; return whether it stopped by itself."""
        with suppress(ProcessLookupError):  # it ended at this moment
            self._process.terminate()
        try:
            async with asyncio.timeout(self.plan.stop_seconds):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            return False
        return True


def trim(output: Path) -> None:
    """Move a long output file aside; whoever appends to it goes on at its start."""
    if output.exists() and output.stat().st_size > OUTPUT_LIMIT_BYTES:
        shutil.copyfile(output, output.with_suffix(".out.1"))
        os.truncate(output, 0)


def _message(line: str) -> str:
    """Return what a log line says, or the line itself where it is no JSON."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return str(entry["message"]) if isinstance(entry, dict) and "message" in entry else line

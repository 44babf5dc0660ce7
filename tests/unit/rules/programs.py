"""Runs many checks by a program of an image in one go, since a container for each would take minutes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import join

import pytest

from stack.checks import IN_IMAGE, image_of
from stack.engine import REPOSITORY, has_image

SECONDS = 150


def run_all(program: str, calls: Sequence[Sequence[str]], folder: Path = REPOSITORY) -> list[tuple[int, str]]:
    """Return the exit code and the output of a program for each list of arguments.

    The program is that on the PATH or beside this Python, else that of its image; without either the test is skipped.
    """
    lines = [f"( {join([program, *call])} ) 2>&1; code=$?; echo; echo :ended $code" for call in calls]
    done = subprocess.run(
        _shell(program, folder), input="\n".join(lines), cwd=folder, capture_output=True, text=True, timeout=SECONDS
    )
    results, output = [], ""
    for line in done.stdout.splitlines():
        if line.startswith(":ended "):
            results.append((int(line.split()[1]), output.strip()))
            output = ""
        else:
            output += line + "\n"
    assert len(results) == len(calls), done.stderr
    return results


def _shell(program: str, folder: Path) -> list[str]:
    if shutil.which(program):
        return ["sh"]
    if Path(sys.executable).with_name(program).exists():
        return ["env", f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", "sh"]
    image = image_of(REPOSITORY, IN_IMAGE[program])
    if not has_image(image):
        pytest.skip(f"{program} is not on the PATH, and the image {image} is not here")
    mount = f"{folder}:/repository:ro"
    return ["docker", "run", "--rm", "-i", "-v", mount, "-w", "/repository", "--entrypoint", "sh", image]

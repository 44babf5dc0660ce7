"""How this command line was called, for telling the user what to call next."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from agent_service.embedded.running import PROGRAM


def own_command() -> str:
    """Return the words that start this command line from the current directory."""
    program = Path(sys.argv[0])
    if program.name != PROGRAM:
        return f"{sys.executable} -m agent_service"
    return PROGRAM if shutil.which(PROGRAM) else os.path.relpath(program)

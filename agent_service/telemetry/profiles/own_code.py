"""Which code is an agent's own, and what its files are called."""

from __future__ import annotations

import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_HERE = str(Path(__file__).parent)
_PACKAGE = str(Path(__file__).parents[2])
PLUMBING = (
    _HERE,
    f"{_PACKAGE}/worker/",
    f"{_PACKAGE}/telemetry/resources.py",
    f"{_PACKAGE}/agents/definition.py",
)
"""Files of the service that stand between a worker and an agent; they say nothing about the agent."""


class OwnCode:
    """The code of an agent: the module of its function and, where that is in a package, those beside and below it.

    `file in own` tells whether a file belongs to it.
    """

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        """Describe the code of a function; without one, everything that is not installed counts as own."""
        self._module = sys.modules.get(function.__module__) if function is not None else None
        self._file = inspect.getsourcefile(function) if function is not None else None
        package = self._module.__package__ if self._module else ""
        self._folder = str(Path(self._file).parent) + "/" if package and self._file else None

    def __contains__(self, file: str) -> bool:
        if self._file is None:
            return bool(file) and not file.startswith("<") and not _is_installed(file)
        if file.startswith(PLUMBING):
            return False
        return file == self._file or bool(self._folder and file.startswith(self._folder))

    def functions(self) -> Iterator[FunctionType]:
        """Yield the functions and methods of the modules that are imported."""
        seen: set[int] = set()
        for module in list(sys.modules.values()):
            if isinstance(module, ModuleType) and (getattr(module, "__file__", None) or "") in self:
                for function in _functions_in(vars(module).values(), module.__name__):
                    if id(function) not in seen:
                        seen.add(id(function))
                        yield function


def _functions_in(values: Iterable[Any], module: str) -> Iterator[FunctionType]:
    for value in list(values):
        if isinstance(value, type):
            if value.__module__ == module:
                yield from _functions_in(vars(value).values(), module)
            continue
        function = _function_of(value)
        if isinstance(function, FunctionType) and function.__module__ == module:
            yield function


def _function_of(value: Any) -> Any:
    """Return what runs behind a name: below decorators, in a method or a property, in an agent's definition.

    Nothing of it is looked up in the usual way, since what a module holds may answer to any name.
    """
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    if inspect.getattr_static(value, "__wrapped__", None) is not None:
        return inspect.unwrap(value)
    return value if isinstance(value, FunctionType) else inspect.getattr_static(value, "function", None)


@lru_cache(maxsize=4096)
def short_path(file: str) -> str:
    """Return a path from where Python looks for modules, so that it is the same on every machine."""
    folders = [
        folder for folder in {*sys.path, str(Path.cwd())} if folder and file.startswith(folder.rstrip("/") + "/")
    ]
    return file[len(max(folders, key=len).rstrip("/")) + 1 :] if folders else file


@lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    """Whether a file is Python's, an installed package's or the service's; the agents that it comes with are not."""
    if file.startswith(f"{_PACKAGE}/"):
        return not file.startswith(f"{_PACKAGE}/agents/") or file.startswith(PLUMBING)
    paths = sysconfig.get_paths()
    return file.startswith(tuple(f"{paths[name]}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")))

"""What a browser sends: where it may come from, and how its form is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

FORM: Final = "application/x-www-form-urlencoded"
FIELDS_LIMIT: Final = 2_500
CSRF_FIELD: Final = "csrf"
_OWN: Final = frozenset({"same-origin", "none"})


class ForeignFormError(Exception):
    """A form does not come from a page of this console; the message says by what that was seen."""


class Form(Mapping[str, str]):
    """The fields of a form; of a name that comes several times the last."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._last = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def every(self, name: str) -> list[str]:
        """Return all values of a name, in order."""
        return [value for key, value in self._pairs if key == name]


async def read_form(request: Request) -> Form:
    """Return the fields of a request's body; none where the body is no form.

    Raises:
        ForeignFormError: It has more fields than any form here.
        ProblemError: It is longer than a body may be.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return Form([])
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
    except ValueError as error:
        raise ForeignFormError("it has more fields than any form of this console") from error
    return Form(pairs)


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends. Browsers tell where a request was started, and scripts cannot change it.

    Raises:
        ForeignFormError: It was started elsewhere.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in _OWN:
            raise ForeignFormError(f"the browser says that it was sent from another place ({site})")
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ForeignFormError("it was sent from a page of another address")


def local_path(target: str | None, fallback: str = "/") -> str:
    """Return a path of this server to go to, or `fallback` for anything that could lead elsewhere."""
    if not target or not target.startswith("/") or target.startswith("//") or not target.isprintable():
        return fallback
    # Browsers read a backslash as a slash, and drop tabs and line ends.
    if "\\" in target or urlsplit(target).netloc or urlsplit(target).scheme:
        return fallback
    return target

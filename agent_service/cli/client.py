"""The service's HTTP API, as the commands use it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from agent_service.cli.errors import CommandError
from agent_service.embedded.addresses import api_url
from agent_service.settings import Settings

ANSWER_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""An event stream says something every few seconds, so one that is silent for so long is broken."""


class RefusedError(CommandError):
    """The service refused; the message is the problem's title and detail.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ServiceClient:
    """Talks to one service, as a context manager."""

    def __init__(self, base_url: str, api_key: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        """Connect with the first request.

        Args:
            base_url: Where the API is.
            api_key: The key that is sent along.
            transport: Replaces the network in tests.
        """
        self._base_url = base_url
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=ANSWER_SECONDS,
            transport=transport,
            # A proxy for the outside world knows nothing of this machine.
            mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None} if transport is None else {},
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the client that the settings describe."""
        return cls(api_url(settings), settings.api_key.get_secret_value() if settings.api_key else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int | None) -> Any:
        """Return the answer to a GET.

        Raises:
            CommandError: There is no service, or it refused.
        """
        return self._request("GET", path, params={key: value for key, value in query.items() if value is not None})

    def get_text(self, path: str) -> str:
        """Return the answer to a GET of something that is no JSON document.

        Raises:
            CommandError: There is no service, or it refused.
        """
        return self._send("GET", path).text

    def post(self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """Return the answer to a POST of a JSON body.

        Raises:
            CommandError: There is no service, or it refused.
        """
        return self._request("POST", path, json=body, headers=headers)

    def delete(self, path: str) -> Any:
        """Return the answer to a DELETE.

        Raises:
            CommandError: There is no service, or it refused.
        """
        return self._request("DELETE", path)

    def events(self, task_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the data of each event of a task until its end, over as many connections as it takes.

        Raises:
            CommandError: There is no service, or it refused.
        """
        last_id: str | None = None
        while True:
            for name, data, event_id in self._event_stream(task_id, last_id):
                last_id = event_id or last_id
                yield name, data
                if name == "end":
                    return

    def _event_stream(self, task_id: str, last_id: str | None) -> Iterator[tuple[str, dict[str, Any], str | None]]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            with self._http.stream(
                "GET", f"/tasks/{task_id}/events", headers=headers, timeout=SILENCE_SECONDS
            ) as response:
                if response.is_error:
                    response.read()
                    raise _problem(response)
                yield from parse_events(response.iter_lines())
        except httpx.RemoteProtocolError:
            return  # cut in the middle; the caller goes on where it was
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise _problem(response)
        return response

    def _request(self, method: str, path: str, **options: Any) -> Any:
        response = self._send(method, path, **options)
        try:
            return response.json()
        except ValueError as error:
            raise CommandError(f"{self._base_url} answers, but not as this service does; is API_URL right?") from error

    def _unreachable(self, error: httpx.HTTPError) -> CommandError:
        if isinstance(error, httpx.ConnectError):
            return CommandError(f"no service at {self._base_url}: start it with `make up`")
        return CommandError(f"the service at {self._base_url} does not answer: {error or type(error).__name__}")


def parse_events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Yield the name, the data and the id of each server-sent event.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield fields.get("event", "message"), json.loads(fields["data"]), fields.get("id")
            fields = {}
            continue
        name, _, value = line.partition(":")
        if name:  # a line that starts with a colon is a comment
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value


def _problem(response: httpx.Response) -> RefusedError:
    try:
        problem = response.json()
        message = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        message = f"{response.status_code} {response.reason_phrase}"
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        message += "; API_KEY in .env is what the command line sends"
    return RefusedError(message, response.status_code)

"""Which callback URLs may be called, and the call itself."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agent_service.tasks.callbacks import PENDING_LIMIT, CallbackCaller, check_callback
from agent_service.tasks.errors import InvalidCallbackError


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:9000/hook",
        "https://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.8/",
        "http://172.16.5.4/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://2130706433/",
    ],
)
def test_an_address_inside_the_network_is_refused(url):
    with pytest.raises(InvalidCallbackError, match="not a public address"):
        check_callback(url, allow_private=False)


@pytest.mark.parametrize("url", ["ftp://93.184.216.34/", "file:///etc/passwd", "http:///", "nonsense", "http://a:b:c/"])
def test_what_is_no_http_url_is_refused(url):
    with pytest.raises(InvalidCallbackError, match="callback_url"):
        check_callback(url, allow_private=True)


def test_credentials_in_the_url_are_refused():
    with pytest.raises(InvalidCallbackError, match="user name or password"):
        check_callback("http://user:word@93.184.216.34/", allow_private=True)


def test_a_public_address_is_accepted():
    assert check_callback("https://93.184.216.34/hook", allow_private=False) == ("93.184.216.34", 443)


class Receiver:
    """A receiver of callbacks that answers as a test says."""

    def __init__(self, status=204, location=None):
        self.bodies = []
        self.received = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.bodies.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                receiver.received.set()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_allowed_receiver_is_called_once_with_the_payload(receiver):
    caller = CallbackCaller(allow_private=True)
    caller.call(f"{receiver.url}/hook?task=1", {"task_id": "1"})
    caller.close()
    assert receiver.bodies == [("/hook?task=1", {"task_id": "1"})]


def test_the_address_is_checked_again_when_the_call_is_made(receiver, caplog):
    caller = CallbackCaller(allow_private=False)
    caller.call(receiver.url, {})
    caller.close()
    assert receiver.bodies == []
    assert "not a public address" in caplog.text


def test_a_redirect_is_not_followed(receiver):
    redirecting = Receiver(status=307, location=receiver.url)
    caller = CallbackCaller(allow_private=True)
    caller.call(redirecting.url, {})
    caller.close()
    redirecting.server.shutdown()
    redirecting.server.server_close()
    assert len(redirecting.bodies) == 1
    assert receiver.bodies == []


def test_a_receiver_that_is_away_is_told_in_the_log(receiver, caplog):
    receiver.server.shutdown()
    receiver.server.server_close()
    caller = CallbackCaller(allow_private=True)
    caller.call(receiver.url, {})
    caller.close()
    assert "callback not delivered" in caplog.text


def test_a_receiver_that_never_answers_fills_no_memory(caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        caller = CallbackCaller(allow_private=True)
        for _ in range(PENDING_LIMIT + 3):
            caller.call(f"http://127.0.0.1:{silent.getsockname()[1]}/", {})
    caller.close()  # those under way are refused now that the receiver is gone
    assert caplog.text.count("1000 wait already") == 3

"""One line a record, whatever is logged."""

import json
import logging
import os
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.settings import Settings
from agent_service.telemetry.contract import ALWAYS_LOGGED, Field, ServiceName
from agent_service.telemetry.logs import (
    MESSAGE_LIMIT,
    TRUNCATED,
    EcsFormatter,
    LogContext,
    LogDirectoryError,
    add_sink,
    bound,
    configure_logging,
    remove_sink,
)

FORMATTER = EcsFormatter(ServiceName.WORKER, frozenset({"hunter2-redis"}))
CONTEXT = LogContext("task-1", "planner", "planner@1", "workflow-1")


def record(message, *args, exc_info=None, level=logging.INFO, **extra):
    return logging.getLogger("agents.test").makeRecord(
        "agents.test", level, __file__, 1, message, args, exc_info, extra=extra
    )


def line(*args, **kwargs):
    return json.loads(FORMATTER.format(record(*args, **kwargs)))


def at(data, field):
    for part in field.split("."):
        data = data[part]
    return data


def test_every_line_has_the_fields_of_the_contract_nested():
    data = line("hello %s", "you")
    for field in ALWAYS_LOGGED:
        assert at(data, field) not in (None, "")
    assert at(data, Field.MESSAGE) == "hello you"
    assert at(data, Field.LOG_LEVEL) == "info"
    assert at(data, Field.SERVICE_NAME) == "agent-worker"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data["@timestamp"])


def test_inside_a_task_a_line_says_which():
    with bound(CONTEXT):
        data = line("x")
    assert at(data, Field.TASK_ID) == "task-1"
    assert at(data, Field.WORKFLOW_ID) == "workflow-1"
    assert at(data, Field.AGENT_NAME) == "planner"
    assert at(data, Field.AGENT_ID) == "planner@1"
    assert "task" not in line("outside")


def test_an_error_is_one_field_with_its_stack():
    try:
        raise ValueError("spilled\nmilk")
    except ValueError as error:
        data = line("failed", exc_info=(type(error), error, error.__traceback__))
    assert at(data, Field.ERROR_TYPE) == "ValueError"
    assert at(data, Field.ERROR_MESSAGE) == "spilled\nmilk"
    assert "Traceback" in at(data, Field.ERROR_STACK_TRACE)


def test_extra_goes_under_labels_flat_and_under_safe_names():
    labels = line("x", section=3, ratio=0.5, done=True, **{"a.b c": {"deep": [1]}})["labels"]
    assert labels == {"section": 3, "ratio": 0.5, "done": True, "a_b_c": '{"deep":[1]}'}


@pytest.mark.parametrize("name", ["password", "api_key", "X-API-Key", "Authorization", "redis_token", "client_secret"])
def test_what_is_named_like_a_secret_is_blotted_out(name):
    assert set(line("x", **{name: "abc"})["labels"].values()) == {"[redacted]"}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefghijklmnop",
        "connecting to redis://:hunter2hunter2@host:6379/0",
        "the password hunter2-redis is known",
        "key as_" + "x" * 43,
    ],
)
def test_secrets_inside_a_message_are_blotted_out(text):
    message = line(text)["message"]
    assert "[redacted]" in message
    for secret in ("abcdefghijklmnop", "hunter2", "x" * 43):
        assert secret not in message


def test_a_bad_format_does_not_cost_the_line():
    assert "%d sheep" in line("%d sheep", "many")["message"]


def test_what_cannot_be_printed_does_not_cost_the_line():
    class Hostile:
        def __str__(self):
            raise RuntimeError

        __repr__ = __str__

    assert line("x", thing=Hostile())["labels"]["thing"] == "<Hostile>"


class Unprintable(Exception):  # noqa: N818 - also used where nothing failed
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


def test_a_message_and_arguments_that_cannot_be_printed_do_not_cost_the_line():
    assert line(Unprintable())["message"].startswith("<Unprintable>")
    assert line("%s sheep", Unprintable())["message"].startswith("%s sheep")


def test_an_error_that_cannot_be_printed_does_not_cost_the_line():
    error = Unprintable()
    data = line("x", exc_info=(Unprintable, error, None))
    assert at(data, Field.ERROR_TYPE) == "Unprintable"
    assert at(data, Field.ERROR_MESSAGE) == "<Unprintable>"


def test_a_loggers_name_that_is_no_utf_8_does_not_cost_the_line():
    odd = logging.LogRecord("\ud800", logging.INFO, __file__, 1, "x", (), None)
    assert at(json.loads(FORMATTER.format(odd)), Field.LOG_LOGGER) == "?"


def test_a_key_that_cannot_be_printed_costs_the_labels_and_not_the_message():
    odd = record("still here")
    odd.__dict__[Unprintable()] = 1
    data = json.loads(FORMATTER.format(odd))
    assert at(data, Field.MESSAGE) == "still here"
    assert at(data, Field.LABELS) == {"unwritten": "RuntimeError"}


def test_the_callers_stack_is_kept_where_it_was_asked_for():
    asked = logging.LogRecord("x", logging.INFO, __file__, 1, "x", (), None, sinfo="Stack (most recent call last):")
    assert "most recent" in at(json.loads(FORMATTER.format(asked)), Field.ERROR_STACK_TRACE)


def test_numbers_of_tokens_are_no_secrets_and_tokens_are():
    labels = line("x", input_tokens=12, token_count=3, token=7, tokens="abc")["labels"]
    assert labels == {"input_tokens": 12, "token_count": 3, "token": "[redacted]", "tokens": "[redacted]"}


def test_secrets_are_found_by_name_inside_nested_data_too():
    text = line("x", request={"headers": [{"Authorization": "Basic abc"}], "user": {"password": {"old": "abc"}}})
    assert "abc" not in text["labels"]["request"]


@pytest.mark.parametrize("value", [True, '{"forged": "line"}'])
def test_no_extra_can_stand_in_for_the_line(value):
    assert line("real", ecs_line=value)["labels"] == {"ecs_line": value}


def test_an_empty_name_becomes_one_that_elasticsearch_takes():
    assert line("x", **{"": 1})["labels"] == {"_": 1}


def test_a_secret_that_the_cut_would_halve_is_blotted_out_whole():
    message = line("x" * (MESSAGE_LIMIT - 6) + "hunter2-redis")["message"]
    assert "hunter" not in message
    assert message.endswith(TRUNCATED)


def test_the_redis_password_is_blotted_out_as_it_is_written_and_as_it_is_meant(configured_with):
    directory = configured_with(redis_url="redis://:p%40ss%2Fword@host/0")
    logging.getLogger("x").info("it is p@ss/word, in a URL p%%40ss%%2Fword")
    text = "".join(path.read_text() for path in directory.iterdir())
    assert "p@ss" not in text
    assert "p%40ss" not in text


def test_a_long_message_is_cut():
    assert len(line("x" * 1_000_000)["message"]) < 40_000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)
names = st.text(string.ascii_letters + string.digits + "._- é", min_size=1).filter(
    lambda name: name not in logging.makeLogRecord({}).__dict__ and name not in {"message", "asctime", "level"}
)


@given(st.text(st.characters(codec=None), max_size=200), st.dictionaries(names, anything, max_size=4))
def test_whatever_is_logged_is_exactly_one_line_that_parses(message, extra):
    written = FORMATTER.format(record(message, **extra))
    assert "\n" not in written
    written.encode("utf-8")
    assert json.loads(written)["log"]["level"] == "info"


@pytest.fixture
def configured_with(tmp_path):
    """Configure logging as a process does, with settings of one's own, and put the test's own handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []

    def configure(**settings):
        configure_logging(ServiceName.API, Settings(log_dir=tmp_path, **settings), stdout=False)
        return tmp_path

    yield configure
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


@pytest.fixture
def configured(configured_with):
    return configured_with(log_file_bytes=4096, log_files=3)


def test_a_full_file_is_renamed_to_a_name_that_starts_alike(configured):
    for _ in range(60):
        logging.getLogger("x").info("y" * 200)
    files = sorted(path.name for path in configured.iterdir())
    assert len(files) == 4
    assert all(re.fullmatch(r"agent-api-.+-\d+\.json(\.\d)?", name) for name in files)
    for path in configured.iterdir():
        for written in path.read_text().splitlines():
            json.loads(written)


def test_libraries_warnings_and_errors_come_out_as_json_too(configured):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    logging.getLogger("uvicorn.error").error("a server error")
    logging.getLogger("rq.worker").warning("a worker warning")
    logging.getLogger("uvicorn.access").info("GET /")
    text = "".join(path.read_text() for path in configured.iterdir())
    messages = [json.loads(written)["message"] for written in text.splitlines()]
    assert any("old ways" in message for message in messages)
    assert any("a server error" in message for message in messages)
    assert any("a worker warning" in message for message in messages)
    assert not any("GET /" in message for message in messages)


def test_a_log_directory_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogDirectoryError, match=r"LOG_DIR .*file/log cannot be written"):
        configure_logging(ServiceName.API, Settings(log_dir=tmp_path / "file" / "log"))


def test_every_handler_writes_the_same_line_and_the_sinks_hear_it_once():
    got = []

    def sink(context, data):
        got.append(data["event"]["id"])

    add_sink(sink)
    try:
        with bound(CONTEXT):
            logged = record("x")
            first, second = FORMATTER.format(logged), EcsFormatter(ServiceName.WORKER).format(logged)
    finally:
        remove_sink(sink)
    assert first == second
    assert got == [json.loads(first)["event"]["id"]]


def test_files_of_processes_long_gone_are_removed(tmp_path):
    old, young = tmp_path / "agent-api-host-1.json", tmp_path / "agent-api-host-2.json"
    for path in (old, young):
        path.write_text("{}\n")
    os.utime(old, (0, 0))
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers = []
    try:
        configure_logging(ServiceName.API, Settings(log_dir=tmp_path), stdout=False)
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = handlers
        logging.captureWarnings(False)
    assert not old.exists()
    assert young.exists()


def test_a_sink_gets_the_lines_of_tasks_and_no_others():
    got = []

    def sink(context, data):
        got.append((context.task_id, data["message"]))

    add_sink(sink)
    try:
        line("outside")
        with bound(CONTEXT):
            line("inside")
    finally:
        remove_sink(sink)
    assert got == [("task-1", "inside")]


def test_a_sink_that_raises_costs_no_line_and_is_told_once(caplog):
    def sink(context, data):
        raise ConnectionError("Redis is away")

    add_sink(sink)
    try:
        with bound(CONTEXT):
            assert [line("first")["message"], line("second")["message"]] == ["first", "second"]
    finally:
        remove_sink(sink)
    assert caplog.text.count("Redis is away") == 1


def test_a_sink_gets_plain_data():
    got = []

    def sink(context, data):
        got.append(data)

    add_sink(sink)
    try:
        with bound(CONTEXT):
            written = line("x", section=1)
    finally:
        remove_sink(sink)
    assert got == [written]


def test_a_file_that_another_process_removes_at_the_same_time_is_no_error(configured_with, tmp_path, monkeypatch):
    old = tmp_path / "agent-api-host-1.json"
    old.write_text("{}\n")
    glob = Path.glob

    def glob_and_remove(self, pattern):
        found = list(glob(self, pattern))
        old.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "glob", glob_and_remove)
    configured_with()
    logging.getLogger("x").info("here")
    assert [path for path in tmp_path.iterdir() if path != old]

"""Logs: each line of the service's files becomes one document of the right stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from agent_service.telemetry.contract import LOG_DATA_STREAM, Field
from tests.stack.conftest import Work
from tests.stack.project import LOGS_RETENTION, Project, wait_until

REJECTED = "logs-agents.rejected-default"
LOGSTASH_FIELDS = {"data_stream.type", "data_stream.dataset", "data_stream.namespace", "log.file.path"}


def as_sent(line: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the id and the document that the pipeline makes of a line."""
    document = json.loads(json.dumps(line))
    document["data_stream"] = {"type": "logs", "dataset": "agents", "namespace": "default"}
    document["log"]["file"] = {"path": "/var/log/agents/agent-worker.json"}
    return line["event"]["id"], document


def create(
    project: Project, documents: Iterable[tuple[str, dict[str, Any]]], stream: str = LOG_DATA_STREAM
) -> list[dict[str, Any]]:
    """Send documents as Logstash's output does, and return what became of each."""
    lines = []
    for id_, document in documents:
        lines += [json.dumps({"create": {"_index": stream, "_id": id_}}), json.dumps(document)]
    answer = project.elastic("POST", "/_bulk", user="logstash_writer", lines="".join(f"{line}\n" for line in lines))
    answer.raise_for_status()
    return [item["create"] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
def lines(project: Project, work: Work) -> list[dict[str, Any]]:
    """What the service itself has logged of the tasks, once a failure's stack is among it."""

    def written() -> list[dict[str, Any]]:
        found = project.log_lines()
        return found if any("error" in line for line in found) else []

    return list(wait_until(written, "the failure is in a log file"))


def test_every_line_of_the_service_is_stored_once(project: Project, lines: list[dict[str, Any]]) -> None:
    documents = [as_sent(line) for line in lines]

    first = create(project, documents)
    again = create(project, documents)

    # Where the real Logstash runs it may have been first; then all of them are there already.
    assert {item["status"] for item in first} <= {201, 409}
    assert {item["status"] for item in again} == {409}
    assert {item["error"]["type"] for item in again} == {"version_conflict_engine_exception"}
    ids = [id_ for id_, _ in documents]
    assert project.count(LOG_DATA_STREAM, {"terms": {"event.id": ids[:1000]}}) == len(ids[:1000])


def test_lines_are_found_by_task_agent_and_trace(project: Project, lines: list[dict[str, Any]], work: Work) -> None:
    create(project, [as_sent(line) for line in lines])

    for field, value in (
        (Field.TASK_ID, work.failure["id"]),
        (Field.AGENT_NAME, "fault-fail"),
        (Field.TRACE_ID, work.failure["trace_id"]),
        (Field.FLAT_TRACE_ID, work.failure["trace_id"]),
    ):
        assert project.count(LOG_DATA_STREAM, {"term": {field.value: value}}) > 0, field
    assert project.count(LOG_DATA_STREAM, {"match": {"error.stack_trace": "Traceback"}}) > 0
    assert project.count(LOG_DATA_STREAM, {"match": {"message": "failed"}}) > 0


def test_lines_are_nowhere_else(project: Project, lines: list[dict[str, Any]]) -> None:
    id_, document = as_sent(lines[0])
    create(project, [(id_, document)])
    query = {"term": {"event.id": id_}}

    assert project.count("*,-.*", query) == project.count(LOG_DATA_STREAM, query) == 1


def test_labels_are_found_by_name_and_value(project: Project, lines: list[dict[str, Any]]) -> None:
    labels = {"outcome": "fine", "attempt": 3, "ok": True}
    line = {**lines[0], "event": {"id": "labels-of-every-kind"}, "labels": labels}
    create(project, [as_sent(line)])

    assert project.count(LOG_DATA_STREAM, {"term": {"event.id": "labels-of-every-kind"}}) == 1
    stored = project.elastic("GET", f"/{LOG_DATA_STREAM}/_search?q=event.id:labels-of-every-kind").json()
    assert stored["hits"]["hits"][0]["_source"]["labels"] == labels


def test_a_producer_cannot_add_to_the_mapping(project: Project, lines: list[dict[str, Any]]) -> None:
    before = mapped_fields(project, LOG_DATA_STREAM)
    line = {**lines[0], "event": {"id": "with-unknown-fields"}, **{f"unknown{n}": {"deep": n} for n in range(500)}}

    assert [item["status"] for item in create(project, [as_sent(line)])] in ([201], [409])

    assert mapped_fields(project, LOG_DATA_STREAM) == before


def test_exactly_the_fields_of_the_contract_are_mapped(project: Project) -> None:
    assert mapped_fields(project, LOG_DATA_STREAM) == {field.value for field in Field} | LOGSTASH_FIELDS


def test_a_line_that_does_not_fit_is_refused_with_a_reason_and_fits_among_the_rejected(
    project: Project, lines: list[dict[str, Any]]
) -> None:
    id_, document = as_sent({**lines[0], "event": {"id": "does-not-fit"}, "process": {"pid": "not a number"}})

    (refused,) = create(project, [(id_, document)])
    rejected = {
        "@timestamp": document["@timestamp"],
        "rejected": {"line": json.dumps(document), "reason": refused["error"]["reason"]},
        "data_stream": {"type": "logs", "dataset": "agents.rejected", "namespace": "default"},
    }
    (kept,) = create(project, [(id_, rejected)], REJECTED)

    assert refused["status"] == 400
    assert "process.pid" in refused["error"]["reason"]
    assert kept["status"] in {201, 409}
    assert project.count(REJECTED, {"match": {"rejected.reason": "process.pid"}}) >= 1


@pytest.mark.parametrize("stream", [LOG_DATA_STREAM, REJECTED])
def test_a_stream_forgets_after_the_configured_time(project: Project, stream: str) -> None:
    (found,) = project.elastic("GET", f"/_data_stream/{stream}/_lifecycle").json()["data_streams"]

    assert found["lifecycle"]["enabled"]
    assert found["lifecycle"]["data_retention"] == LOGS_RETENTION


@pytest.mark.parametrize("stream", [LOG_DATA_STREAM, REJECTED])
def test_a_stream_is_whole_on_one_node(project: Project, stream: str) -> None:
    settings = project.elastic("GET", f"/{stream}/_settings").json()

    for index in settings.values():
        assert index["settings"]["index"]["number_of_shards"] == "1"
        assert index["settings"]["index"]["number_of_replicas"] == "0"
    assert project.elastic("GET", f"/_cluster/health/{stream}").json()["status"] == "green"


def test_logstash_brings_the_lines(project: Project, work: Work) -> None:
    project.require_real("logstash")
    task = project.submit("fault-log", message="brought by logstash", times=3)
    project.wait_for(task, "finished")

    query = {"bool": {"must": [{"term": {"task.id": task["id"]}}, {"match_phrase": {"message": "brought by"}}]}}

    wait_until(lambda: project.count(LOG_DATA_STREAM, query) == 3, "the lines are in Elasticsearch")


def mapped_fields(project: Project, stream: str) -> set[str]:
    mappings = project.elastic("GET", f"/{stream}/_mapping").raise_for_status().json()
    return {field for index in mappings.values() for field in _leaves(index["mappings"]["properties"])}


def _leaves(properties: dict[str, Any], prefix: str = "") -> set[str]:
    leaves = set()
    for name, mapping in properties.items():
        leaves |= _leaves(mapping["properties"], f"{prefix}{name}.") if "properties" in mapping else {prefix + name}
    return leaves

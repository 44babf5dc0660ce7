"""Every line parses, has the contract's fields, and says which task it belongs to."""

from agent_service.telemetry.contract import ALWAYS_LOGGED, Field
from tests.integration.system import API_KEY, wait_until


def field(line, name):
    for part in name.split("."):
        line = line[part]
    return line


def has(line, name):
    try:
        return field(line, name) is not None
    except KeyError:
        return False


def test_every_line_of_every_process_has_the_contracts_fields(system):
    system.wait_for(system.submit("fault-fail", message="no"), "failed")
    system.wait_for(system.submit("fault-crash", {"retries": 0}), "failed")
    lines = system.log_lines()
    assert {field(line, Field.SERVICE_NAME) for line in lines} == {"agent-api", "agent-worker"}
    for line in lines:
        for name in ALWAYS_LOGGED:
            assert has(line, name), (name, line)
    ids = [field(line, Field.EVENT_ID) for line in lines]
    assert len(set(ids)) == len(ids)


def test_a_line_inside_an_agent_carries_task_agent_and_trace(system):
    task = system.wait_for(system.submit("fault-log", message="from inside", level="WARNING"), "finished")

    def said():
        return [line for line in system.log_lines() if line["message"] == "from inside"]

    line = wait_until(said, "the line is written")[0]
    assert field(line, Field.TASK_ID) == task["id"]
    assert field(line, Field.AGENT_NAME) == "fault-log"
    assert field(line, Field.TRACE_ID) == task["trace_id"]
    assert field(line, Field.FLAT_TRACE_ID) == task["trace_id"]
    assert len(field(line, Field.SPAN_ID)) == 16
    assert field(line, Field.LOG_LEVEL) == "warning"


def test_a_failure_is_one_line_with_its_stack(system):
    task = system.wait_for(system.submit("fault-fail", message="spilled"), "failed")
    lines = [
        line
        for line in system.log_lines()
        if has(line, Field.ERROR_STACK_TRACE) and field(line, Field.TASK_ID) == task["id"]
    ]
    assert len(lines) == 1
    assert field(lines[0], Field.ERROR_TYPE) == "RuntimeError"
    assert field(lines[0], Field.ERROR_MESSAGE) == "spilled"
    assert "Traceback" in field(lines[0], Field.ERROR_STACK_TRACE)


def test_no_key_is_ever_logged(system):
    system.http.get("/tasks", headers={"X-API-Key": f"{API_KEY}x"})
    system.wait_for(system.submit("fault-log", message=f"Authorization: Bearer {API_KEY}", level="INFO"), "finished")
    written = "".join(path.read_text() for path in (system.folder / "log").glob("*.json*")) + system.output()
    assert API_KEY not in written

from __future__ import annotations

from agent_service.cli.metering import Change, changes, parse

BEFORE = """\
# TYPE agent_tasks counter
agent_tasks_total{agent="planner",outcome="success",queue="default"} 2.0
"""
AFTER = """\
# TYPE agent_tasks counter
agent_tasks_total{agent="planner",outcome="success",queue="default"} 5.0
agent_tasks_total{agent="critic",outcome="success",queue="default"} 0.0
# TYPE agent_task_duration_seconds histogram
agent_task_duration_seconds_bucket{agent="planner",le="+Inf",outcome="success"} 4.0
agent_task_duration_seconds_count{agent="planner",outcome="success"} 4.0
agent_task_duration_seconds_sum{agent="planner",outcome="success"} 2.0
# TYPE python_gc_objects_collected counter
python_gc_objects_collected_total 100.0
"""


def test_only_what_grew_is_told_and_only_what_the_contract_names():
    planner = (("agent", "planner"), ("outcome", "success"))

    assert changes(parse(BEFORE), parse(AFTER)) == [
        Change("agent_task_duration_seconds", planner, growth=4.0, average=0.5),
        Change("agent_tasks_total", (planner[0], planner[1], ("queue", "default")), growth=3.0),
    ]

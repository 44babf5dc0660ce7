"""How a workflow moves on, by what became of its tasks."""

from datetime import UTC, datetime
from itertools import count

import pytest
from pydantic import BaseModel

from agent_service.tasks.models import Task, TaskError, TaskStatus
from agent_service.workflows import Loop, OnFailure, Step, Workflow, WorkflowDefinitionError, WorkflowStatus
from agent_service.workflows.progress import conclude_if_over, ready_steps, results_so_far, settle_steps, turn_back
from agent_service.workflows.state import StepState, StepStatus, WorkflowState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Nothing(BaseModel):
    pass


def step(name, *after, on_failure=OnFailure.FAIL):
    return Step(name, agent="any", inputs=lambda _: {}, after=after, on_failure=on_failure)


def workflow(*steps, result, loops=()):
    return Workflow("test", "", Nothing, steps, result, loops)


class Run:
    """A workflow's state with tasks that end as a test says."""

    def __init__(self, declared):
        self.workflow = declared
        self.state = WorkflowState(
            id="w",
            name="test",
            input={},
            submitted_at=NOW,
            steps={s.name: StepState(agent="any") for s in declared.steps},
        )
        self.tasks = {}
        self._ids = count()

    def advance(self):
        """Settle, loop and start what is ready; return the names of the started steps."""
        settle_steps(self.workflow, self.state, self.tasks)
        started = []
        if self.state.status is WorkflowStatus.RUNNING:
            turn_back(self.workflow, self.state, results_so_far(self.state, self.tasks))
            started = ready_steps(self.workflow, self.state)
            for ready in started:
                self.state.steps[ready.name].rounds.append([f"t{next(self._ids)}"])
                self.state.steps[ready.name].status = StepStatus.RUNNING
                self.end(ready.name, TaskStatus.STARTED)
            conclude_if_over(self.workflow, self.state)
        return [ready.name for ready in started]

    def end(self, name, status=TaskStatus.FINISHED, result=None):
        finished = status is TaskStatus.FINISHED
        for task_id in self.state.steps[name].task_ids:
            self.tasks[task_id] = Task(
                id=task_id,
                agent="any",
                status=status,
                queue="default",
                submitted_at=NOW,
                result=(result or {}) if finished else None,
                error=None if finished else TaskError(type="ValueError", message="no"),
            )

    def status_of(self, name):
        return self.state.steps[name].status


def test_steps_start_when_those_before_them_have_ended():
    run = Run(workflow(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), result="d"))
    assert run.advance() == ["a"]
    assert run.advance() == []
    run.end("a")
    assert run.advance() == ["b", "c"]
    run.end("b")
    assert run.advance() == []
    run.end("c")
    assert run.advance() == ["d"]
    run.end("d")
    assert run.advance() == []
    assert run.state.status is WorkflowStatus.FINISHED


def test_a_failed_step_fails_the_workflow_and_cancels_the_rest():
    run = Run(workflow(step("a"), step("b"), step("c", "a", "b"), result="c"))
    run.advance()
    run.end("a", TaskStatus.FAILED)
    run.advance()
    assert run.state.status is WorkflowStatus.FAILED
    assert "ValueError: no" in run.state.error
    assert (run.status_of("b"), run.status_of("c")) == (StepStatus.CANCELED, StepStatus.CANCELED)


def test_skip_skips_everything_after_the_failed_step_and_nothing_else():
    run = Run(
        workflow(step("a", on_failure=OnFailure.SKIP), step("b", "a"), step("c", "b"), step("other"), result="other")
    )
    run.advance()
    run.end("a", TaskStatus.STOPPED)
    run.end("other")
    run.advance()
    assert (run.status_of("b"), run.status_of("c")) == (StepStatus.SKIPPED, StepStatus.SKIPPED)
    assert run.state.status is WorkflowStatus.FINISHED


def test_continue_goes_on_with_the_results_that_there_are():
    run = Run(workflow(step("a", on_failure=OnFailure.CONTINUE), step("b", "a"), result="b"))
    run.advance()
    run.end("a", TaskStatus.FAILED)
    assert run.advance() == ["b"]
    assert results_so_far(run.state, run.tasks).all("a") == []


def test_a_workflow_whose_result_was_skipped_has_failed():
    run = Run(workflow(step("a", on_failure=OnFailure.SKIP), step("b", "a"), result="b"))
    run.advance()
    run.end("a", TaskStatus.FAILED)
    run.advance()
    assert run.state.status is WorkflowStatus.FAILED
    assert "'b'" in run.state.error


def test_a_loop_goes_back_as_often_as_it_may_and_then_goes_on():
    loop = Loop(at="judge", back_to="write", again=lambda results: not results.one("judge")["good"], limit=2)
    run = Run(
        workflow(
            step("plan"),
            step("write", "plan"),
            step("judge", "write"),
            step("end", "judge"),
            result="end",
            loops=(loop,),
        )
    )
    run.advance()
    run.end("plan")
    rounds = 0
    while (started := run.advance()) == ["write"]:
        rounds += 1
        run.end("write", result={"round": rounds})
        assert run.advance() == ["judge"]
        run.end("judge", result={"good": False})
    assert started == ["end"]
    assert rounds == 3
    results = results_so_far(run.state, run.tasks)
    assert [result["round"] for result in results.every("write")] == [1, 2, 3]
    assert results.one("write") == {"round": 3}


def test_a_loop_that_is_content_does_not_go_back():
    loop = Loop(at="b", back_to="a", again=lambda _: False, limit=5)
    run = Run(workflow(step("a"), step("b", "a"), result="b", loops=(loop,)))
    run.advance()
    run.end("a")
    run.advance()
    run.end("b")
    assert run.advance() == []
    assert run.state.status is WorkflowStatus.FINISHED


@pytest.mark.parametrize(
    ("steps", "result", "message"),
    [
        ((step("a", "b"), step("b", "a")), "a", "wait for each other"),
        ((step("a", "nowhere"),), "a", "no step nowhere"),
        ((step("a"),), "b", "no step b"),
        ((step("a"), step("a")), "a", "same name"),
        ((step("A b"),), "A b", "is no name"),
    ],
)
def test_a_graph_that_cannot_run_is_refused(steps, result, message):
    with pytest.raises(WorkflowDefinitionError, match=message):
        workflow(*steps, result=result)

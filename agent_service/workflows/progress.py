"""Moves a workflow's state on by what became of its tasks. Pure: tasks' states and results come in as arguments."""

from __future__ import annotations

from collections.abc import Mapping

from agent_service.tasks.models import Task, TaskStatus
from agent_service.workflows.definition import Loop, OnFailure, Results, Step, Workflow
from agent_service.workflows.state import StepState, StepStatus, WorkflowState, WorkflowStatus


def settle_steps(workflow: Workflow, state: WorkflowState, tasks: Mapping[str, Task]) -> None:
    """End the running steps whose tasks have all ended.

    Args:
        workflow: The graph.
        state: Changed in place.
        tasks: The tasks by id; one that is missing has expired and counts as failed.
    """
    for name, step_state in state.steps.items():
        if step_state.status is not StepStatus.RUNNING:
            continue
        statuses = [tasks[task_id].status if task_id in tasks else TaskStatus.FAILED for task_id in step_state.task_ids]
        if not all(status.is_final for status in statuses):
            continue
        step_state.follow_up = None
        if all(status is TaskStatus.FINISHED for status in statuses):
            step_state.status = StepStatus.FINISHED
        else:
            fail_step(workflow.step(name), state, _why(step_state, tasks))


def fail_step(step: Step, state: WorkflowState, why: str) -> None:
    """Fail a step, and the workflow with it where that is the step's policy."""
    step_state = state.steps[step.name]
    step_state.status = StepStatus.FAILED
    step_state.error = why
    if step.on_failure is OnFailure.FAIL:
        conclude(state, WorkflowStatus.FAILED, f"step {step.name!r} failed: {why}")


def turn_back(workflow: Workflow, state: WorkflowState, results: Results) -> None:
    """Make the steps of a loop pending again, where it is to go back."""
    for loop in workflow.loops:
        if _is_due(state, loop) and loop.again(results):
            state.turns[loop.at] = state.turns.get(loop.at, 0) + 1
            for name in workflow.between(loop):
                state.steps[name].status = StepStatus.PENDING
                state.steps[name].error = None


def _is_due(state: WorkflowState, loop: Loop) -> bool:
    """Return whether a loop is to be decided: its last round has ended and not been decided yet."""
    step = state.steps[loop.at]
    turns = state.turns.get(loop.at, 0)
    return step.status is StepStatus.FINISHED and len(step.rounds) == turns + 1 and turns < loop.limit


def ready_steps(workflow: Workflow, state: WorkflowState) -> list[Step]:
    """Return the steps that can start, and skip those that never can."""
    ready: list[Step] = []
    changed = True
    while changed:
        changed = False
        for step in workflow.steps:
            if state.steps[step.name].status is not StepStatus.PENDING or step in ready:
                continue
            before = [(workflow.step(name), state.steps[name].status) for name in step.after]
            if any(_blocks(earlier, status) for earlier, status in before):
                state.steps[step.name].status = StepStatus.SKIPPED
                changed = True
            elif all(status.is_over for _, status in before):
                ready.append(step)
    return ready


def _blocks(earlier: Step, status: StepStatus) -> bool:
    if status in {StepStatus.SKIPPED, StepStatus.CANCELED}:
        return True
    return status is StepStatus.FAILED and earlier.on_failure is not OnFailure.CONTINUE


def conclude_if_over(workflow: Workflow, state: WorkflowState) -> None:
    """End the workflow when nothing of it waits or runs."""
    if state.status is not WorkflowStatus.RUNNING or not all(step.status.is_over for step in state.steps.values()):
        return
    last = state.steps[workflow.result]
    if last.status is StepStatus.FINISHED:
        conclude(state, WorkflowStatus.FINISHED)
    else:
        conclude(state, WorkflowStatus.FAILED, f"step {workflow.result!r}, which gives the result, was {last.status}")


def conclude(state: WorkflowState, status: WorkflowStatus, error: str | None = None) -> None:
    """End the workflow; what has not ended is canceled."""
    state.status = status
    state.error = error
    for step in state.steps.values():
        if not step.status.is_over:
            step.status = StepStatus.CANCELED


def results_so_far(state: WorkflowState, tasks: Mapping[str, Task]) -> Results:
    """Return what the steps gave, for the functions of the workflow's declaration."""
    rounds = {
        name: [
            [result for task_id in ids if task_id in tasks and isinstance(result := tasks[task_id].result, dict)]
            for ids in step.rounds
        ]
        for name, step in state.steps.items()
    }
    return Results(input=state.input, rounds=rounds)


def _why(step_state: StepState, tasks: Mapping[str, Task]) -> str:
    for task_id in step_state.task_ids:
        task = tasks.get(task_id)
        if task is None:
            return f"task {task_id} has expired"
        if task.status is not TaskStatus.FINISHED:
            reason = f": {task.error.type}: {task.error.message}" if task.error else ""
            return f"task {task_id} {task.status}{reason}"
    return "its tasks failed"

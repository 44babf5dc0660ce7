"""Starts, reads, cancels and moves on workflows.

Every round of a step is a set of RQ jobs, a member each of the group that is named after the workflow, and one more
job that depends on them all: the coordinator's, which looks at what became of them and starts what comes next. So a
workflow needs no process of its own, and goes on after any of them has died.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.exceptions import LockError
from redis.lock import Lock

from agent_service.agents import AgentDefinition, RetryPolicy, UnknownAgentError, agent
from agent_service.settings import Settings
from agent_service.tasks.control import TaskControl
from agent_service.tasks.errors import InvalidInputError, InvalidTransitionError, TaskNotFoundError, TaskServiceError
from agent_service.tasks.models import Submission, Task, TaskOptions
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.submission import Origin, PreparedTask, Submitter
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.traces import extract, inject
from agent_service.workflows.definition import Payload, Results, Step, Workflow
from agent_service.workflows.progress import (
    conclude,
    conclude_if_over,
    fail_step,
    ready_steps,
    results_so_far,
    settle_steps,
    turn_back,
)
from agent_service.workflows.registry import WorkflowRegistry
from agent_service.workflows.state import (
    StepState,
    StepStatus,
    StepView,
    WorkflowRun,
    WorkflowState,
    WorkflowStatus,
    lock_key,
)

COORDINATOR = "workflow-coordinator"
LOCK_SECONDS = 60
FAN_OUT_LIMIT = 1_000


class WorkflowNotFoundError(TaskServiceError):
    """There is no such workflow, or it is older than its time to live."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f"there is no workflow {workflow_id!r}; runs are kept for a limited time")


class CoordinatorInput(BaseModel):
    """Which workflow to move on."""

    model_config = ConfigDict(extra="forbid")

    workflow_id: str


class CoordinatorResult(BaseModel):
    """What the coordinator did.

    Attributes:
        started: The steps that it started.
    """

    status: WorkflowStatus
    started: list[str]


class WorkflowRunner:
    """Runs workflows over the queue."""

    def __init__(
        self,
        submitter: Submitter,
        control: TaskControl,
        workflows: WorkflowRegistry,
        settings: Settings,
    ) -> None:
        self._submitter = submitter
        self._control = control
        self._workflows = workflows
        self._reader = TaskReader(submitter.broker)
        self._redis = submitter.broker.redis
        # A state must outlive the tasks that it names, or the last of them would have nothing to report to.
        self._kept_seconds = max(settings.result_ttl_seconds, settings.failure_ttl_seconds)

    def start(self, name: str, payload: Mapping[str, Any], *, submitted_by: str | None = None) -> WorkflowRun:
        """Start a workflow under the current span.

        Raises:
            UnknownWorkflowError: There is none of that name.
            InvalidInputError: It refuses the input.
            QueueFullError: The queue holds as many tasks as it may.
            QueueUnavailableError: Redis is away.
        """
        workflow = self._workflows[name]
        state = WorkflowState(
            id=uuid7(),
            name=name,
            input=_check_input(workflow, payload),
            steps={step.name: StepState(agent=step.agent) for step in workflow.steps},
            submitted_at=datetime.now(UTC),
            submitted_by=submitted_by,
            traceparent=inject().get("traceparent"),
        )
        first = self._prepare_coordinator(state, uuid7())
        self._submitter.check_capacity([first])
        pipeline = self._redis.pipeline()
        state.save(pipeline, self._kept_seconds)
        self._submitter.enqueue([first], pipeline)
        return self._view(state, {})

    def get(self, workflow_id: str) -> WorkflowRun:
        """Return how far a workflow is.

        Raises:
            WorkflowNotFoundError: There is none of that id.
            RedisError: Redis is away.
        """
        state = self._load(workflow_id)
        last = state.steps[self._workflows[state.name].result] if state.status is WorkflowStatus.FINISHED else None
        return self._view(state, self._tasks(last.task_ids) if last else {})

    def cancel(self, workflow_id: str) -> WorkflowRun:
        """Cancel what has not started, stop what runs.

        Raises:
            WorkflowNotFoundError: There is none of that id.
            InvalidTransitionError: It has ended.
            RedisError: Redis is away.
        """
        with self._locked(workflow_id):
            state = self._load(workflow_id)
            if state.status is WorkflowStatus.CANCELED:
                return self._view(state, {})
            if state.status is not WorkflowStatus.RUNNING:
                raise InvalidTransitionError(f"workflow {workflow_id} is {state.status} already")
            conclude(state, WorkflowStatus.CANCELED)
            self._close(state)
        return self._view(state, {})

    def coordinator(self) -> AgentDefinition[CoordinatorInput, CoordinatorResult]:
        """Return the agent that moves workflows on, to be registered beside the others."""

        @agent(
            COORDINATOR,
            timeout=120,
            retries=RetryPolicy(attempts=8),
            owner="platform",
            description="Starts the next steps of a workflow.",
            internal=True,
        )
        def coordinate(request: CoordinatorInput) -> CoordinatorResult:
            return self.advance(request.workflow_id)

        return coordinate

    def advance(self, workflow_id: str) -> CoordinatorResult:
        """Look at what became of a workflow's tasks and start what comes next. Doing it twice does no harm.

        Raises:
            WorkflowNotFoundError: There is none of that id.
            QueueUnavailableError, RedisError: Redis is away.
        """
        with self._locked(workflow_id):
            state = self._load(workflow_id)
            workflow = self._workflows[state.name]
            if state.status is not WorkflowStatus.RUNNING:
                return CoordinatorResult(status=state.status, started=[])
            tasks = self._tasks(task_id for step in state.steps.values() for ids in step.rounds for task_id in ids)
            settle_steps(workflow, state, tasks)
            results = results_so_far(state, tasks)
            prepared: list[PreparedTask] = []
            started: list[str] = []
            if state.status is WorkflowStatus.RUNNING:
                turn_back(workflow, state, results)
                started, prepared = self._start_ready(workflow, state, results)
                conclude_if_over(workflow, state)
            if state.status is not WorkflowStatus.RUNNING:
                for task in prepared:
                    task.end_span()
                self._close(state)
                return CoordinatorResult(status=state.status, started=[])
            pipeline = self._redis.pipeline()
            state.save(pipeline, self._kept_seconds)
            self._submitter.enqueue(prepared, pipeline)
            self._ensure_follow_ups(state)
            return CoordinatorResult(status=state.status, started=started)

    def _start_ready(
        self, workflow: Workflow, state: WorkflowState, results: Results
    ) -> tuple[list[str], list[PreparedTask]]:
        """Prepare the tasks of every step that can start, until none can."""
        started: list[str] = []
        prepared: list[PreparedTask] = []
        while state.status is WorkflowStatus.RUNNING and (ready := ready_steps(workflow, state)):
            for step in ready:
                step_state = state.steps[step.name]
                try:
                    tasks = [self._prepare(step, payload, state) for payload in _payloads(step, results)]
                except (InvalidInputError, UnknownAgentError, LookupError, TypeError, ValueError) as error:
                    fail_step(step, state, f"its input cannot be made: {error}")
                    continue
                step_state.rounds.append([task.id for task in tasks])
                # A fan-out over nothing has ended as soon as it starts.
                step_state.status = StepStatus.RUNNING if tasks else StepStatus.FINISHED
                step_state.follow_up = uuid7() if tasks else None
                started.append(step.name)
                prepared += tasks
        return started, prepared

    def _prepare(self, step: Step, payload: Payload, state: WorkflowState) -> PreparedTask:
        return self._submitter.prepare(Submission(agent=step.agent, input=dict(payload)), self._origin(state))

    def _prepare_coordinator(self, state: WorkflowState, task_id: str, after: tuple[str, ...] = ()) -> PreparedTask:
        submission = Submission(
            agent=COORDINATOR, input={"workflow_id": state.id}, options=TaskOptions(priority="high")
        )
        return self._submitter.prepare(submission, self._origin(state), after=after, task_id=task_id)

    def _ensure_follow_ups(self, state: WorkflowState) -> None:
        """Enqueue the coordinator behind each running step, where an earlier try did not come so far."""
        running = [step for step in state.steps.values() if step.status is StepStatus.RUNNING and step.follow_up]
        known = self._submitter.broker.statuses(step.follow_up or "" for step in running)
        missing = [step for step, status in zip(running, known, strict=True) if status is None]
        self._submitter.enqueue(
            [self._prepare_coordinator(state, step.follow_up or "", tuple(step.task_ids)) for step in missing]
        )

    def _close(self, state: WorkflowState) -> None:
        """Write the end of a workflow, and end the tasks that are left."""
        state.ended_at = datetime.now(UTC)
        state.save(self._redis, self._kept_seconds)
        for step in state.steps.values():
            if step.status is StepStatus.CANCELED:
                for task_id in filter(None, (step.follow_up, *step.task_ids)):
                    with suppress(TaskNotFoundError, InvalidTransitionError):
                        self._control.cancel(task_id)

    @contextmanager
    def _locked(self, workflow_id: str) -> Iterator[None]:
        """Let one process at a time move a workflow on.

        Raises:
            InvalidTransitionError: Another one does not come to an end with it.
        """
        lock = Lock(self._redis, lock_key(workflow_id), timeout=LOCK_SECONDS, blocking_timeout=LOCK_SECONDS / 2)
        if not lock.acquire():
            raise InvalidTransitionError(f"workflow {workflow_id} is being moved on by another process")
        try:
            yield
        finally:
            with suppress(LockError):  # it expired; whoever holds it now keeps it
                lock.release()

    def _origin(self, state: WorkflowState) -> Origin:
        carrier = {"traceparent": state.traceparent} if state.traceparent else {}
        return Origin(submitted_by=state.submitted_by, workflow_id=state.id, trace=extract(carrier))

    def _load(self, workflow_id: str) -> WorkflowState:
        state = WorkflowState.load(self._redis, workflow_id)
        if state is None or state.name not in self._workflows:
            raise WorkflowNotFoundError(workflow_id)
        return state

    def _tasks(self, task_ids: Iterable[str]) -> dict[str, Task]:
        return {task.id: task for task in self._reader.get_many(task_ids)}

    def _view(self, state: WorkflowState, tasks: Mapping[str, Task]) -> WorkflowRun:
        steps = [
            StepView(
                name=name,
                agent=step.agent,
                status=step.status,
                round=len(step.rounds),
                task_ids=step.task_ids,
                error=step.error,
            )
            for name, step in state.steps.items()
        ]
        result = next((task.result for task in tasks.values()), None)
        trace_id = state.traceparent.split("-")[1] if state.traceparent else None
        links = self._submitter.broker.links.to_workflow(state.id, trace_id, state.submitted_at, state.ended_at)
        return WorkflowRun(
            id=state.id,
            name=state.name,
            status=state.status,
            trace_id=trace_id,
            submitted_at=state.submitted_at,
            submitted_by=state.submitted_by,
            ended_at=state.ended_at,
            steps=steps,
            result=result,
            error=state.error,
            links={"self": f"/workflows/{state.id}", **links},
        )


def _check_input(workflow: Workflow, payload: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = workflow.input_model.model_validate(payload).model_dump(mode="json")
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInputError(f"workflow {workflow.name!r}", [dict(entry) for entry in errors]) from error
    return checked


def _payloads(step: Step, results: Results) -> list[Payload]:
    """Return a step's inputs, one a task.

    Raises:
        ValueError: They are too many.
    """
    made = step.inputs(results)
    payloads = [made] if isinstance(made, Mapping) else list(made)
    if len(payloads) > FAN_OUT_LIMIT:
        raise ValueError(f"it fans out to {len(payloads)} tasks, more than {FAN_OUT_LIMIT}")
    return payloads

"""Every name under which the service is observed, once.

Dashboards, alert rules, the Elasticsearch index template and outside checks lean on these names: adding one is cheap,
changing one breaks somebody's screen. Metric names follow Prometheus (base units, `_total` for counters), log fields
the Elastic Common Schema, spans and attributes the OpenTelemetry semantic conventions (GenAI, messaging, HTTP).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MetricKind(StrEnum):
    """The Prometheus kinds that the service uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: The name as Prometheus stores it, `_total` included.
        kind: Its Prometheus kind.
        help: One sentence for a person.
        labels: Label names, in order.
        buckets: Upper bounds of a histogram's buckets, in the metric's unit.
        exemplar: Whether observations carry a `trace_id` exemplar.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    exemplar: bool = False


SECONDS_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
"""From an instant agent to one that thinks for a quarter of an hour."""
HTTP_SECONDS_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The boundaries that the OpenTelemetry HTTP conventions advise."""
TOKEN_BUCKETS: Final = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip
"""The boundaries that the OpenTelemetry GenAI conventions advise for token usage."""
OPERATION_SECONDS_BUCKETS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""The boundaries that the OpenTelemetry GenAI conventions advise for operation duration."""
INCIDENT_SECONDS_BUCKETS: Final = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""From half a minute to a day."""

TASKS_SUBMITTED: Final = Metric(
    "agent_tasks_submitted_total", MetricKind.COUNTER, "Tasks acknowledged by the service.", ("agent", "queue")
)
TASKS: Final = Metric(
    "agent_tasks_total",
    MetricKind.COUNTER,
    "Attempts at tasks that ended, by outcome; an attempt that will be tried again ends as retry.",
    ("agent", "queue", "outcome"),
)
TASK_DURATION: Final = Metric(
    "agent_task_duration_seconds",
    MetricKind.HISTOGRAM,
    "How long an attempt ran, in seconds.",
    ("agent", "outcome"),
    SECONDS_BUCKETS,
    exemplar=True,
)
TASK_WAIT: Final = Metric(
    "agent_task_wait_seconds",
    MetricKind.HISTOGRAM,
    "How long a task was ready in its queue before it started, in seconds.",
    ("agent", "queue"),
    SECONDS_BUCKETS,
    exemplar=True,
)
TASK_END_TO_END: Final = Metric(
    "agent_task_end_to_end_seconds",
    MetricKind.HISTOGRAM,
    "From a task's submission to its final state, in seconds.",
    ("agent", "outcome"),
    SECONDS_BUCKETS,
    exemplar=True,
)
TASKS_IN_PROGRESS: Final = Metric(
    "agent_tasks_in_progress", MetricKind.GAUGE, "Tasks that run in this worker now.", ("agent",)
)
OLDEST_RUNNING_TASK: Final = Metric(
    "agent_oldest_running_task_seconds",
    MetricKind.GAUGE,
    "For how long the oldest task that runs in this worker has run, in seconds.",
    ("agent",),
)
QUEUE_TASKS: Final = Metric("agent_queue_tasks", MetricKind.GAUGE, "Tasks of a queue by state.", ("queue", "state"))
QUEUE_OLDEST_TASK: Final = Metric(
    "agent_queue_oldest_task_seconds",
    MetricKind.GAUGE,
    "How long the task at the head of the queue has waited, in seconds; 0 for an empty queue.",
    ("queue",),
)
WORKERS: Final = Metric("agent_workers", MetricKind.GAUGE, "Live workers of a queue by state.", ("queue", "state"))
AGENT_CPU: Final = Metric(
    "agent_cpu_seconds_total", MetricKind.COUNTER, "CPU time that an agent's code used, in seconds.", ("agent",)
)
AGENT_IO: Final = Metric(
    "agent_io_bytes_total",
    MetricKind.COUNTER,
    "Bytes that an agent's code moved from (read) and to (write) storage.",
    ("agent", "direction"),
)
AGENT_MEMORY: Final = Metric(
    "agent_memory_bytes",
    MetricKind.GAUGE,
    "Peak resident memory of the worker's child while the agent last ran, in bytes.",
    ("agent",),
)
WORKER_CPU: Final = Metric(
    "agent_worker_cpu_ratio",
    MetricKind.GAUGE,
    "CPU that this worker used since the last scrape; 1 is one core.",
)
WORKER_MEMORY: Final = Metric(
    "agent_worker_memory_bytes",
    MetricKind.GAUGE,
    "Resident memory of this worker, supervisor and child together, in bytes.",
)
ERRORS: Final = Metric(
    "agent_errors_total", MetricKind.COUNTER, "Errors that ended an attempt, by type.", ("agent", "error_type")
)
GEN_AI_TOKEN_USAGE: Final = Metric(
    "gen_ai_client_token_usage",
    MetricKind.HISTOGRAM,
    "Tokens of one model operation, by type (input or output).",
    ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"),
    TOKEN_BUCKETS,
    exemplar=True,
)
GEN_AI_OPERATION_DURATION: Final = Metric(
    "gen_ai_client_operation_duration_seconds",
    MetricKind.HISTOGRAM,
    "How long one model operation took, in seconds.",
    ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
    OPERATION_SECONDS_BUCKETS,
    exemplar=True,
)
COST: Final = Metric(
    "agent_cost_usd_total", MetricKind.COUNTER, "What an agent's model calls cost, in US dollars.", ("agent", "model")
)
INCIDENTS_OPEN: Final = Metric(
    "incidents_open", MetricKind.GAUGE, "Incidents that are not resolved.", ("severity", "team")
)
INCIDENT_UNACKNOWLEDGED: Final = Metric(
    "incident_unacknowledged_seconds",
    MetricKind.GAUGE,
    "For how long the oldest unacknowledged incident has waited for somebody, in seconds.",
    ("severity", "team"),
)
INCIDENT_ESCALATION_AFTER: Final = Metric(
    "incident_escalation_after_seconds",
    MetricKind.GAUGE,
    "After how long without an acknowledgement a step of the escalation policy is due, in seconds.",
    ("severity", "team", "escalation", "receiver"),
)
INCIDENTS_OPENED: Final = Metric(
    "incidents_opened_total",
    MetricKind.COUNTER,
    "Incidents that were opened, or opened again.",
    ("severity", "team"),
)
INCIDENT_TIME_TO_ACKNOWLEDGE: Final = Metric(
    "incident_time_to_acknowledge_seconds",
    MetricKind.HISTOGRAM,
    "From an incident's opening, or its last reopening, until somebody took it up, in seconds.",
    ("severity", "team"),
    INCIDENT_SECONDS_BUCKETS,
)
INCIDENT_TIME_TO_RESOLVE: Final = Metric(
    "incident_time_to_resolve_seconds",
    MetricKind.HISTOGRAM,
    "From an incident's opening, or its last reopening, until it was resolved, in seconds.",
    ("severity", "team"),
    INCIDENT_SECONDS_BUCKETS,
)
HTTP_DURATION: Final = Metric(
    "http_server_request_duration_seconds",
    MetricKind.HISTOGRAM,
    "How long an HTTP request took, in seconds; http_route is the template of the route.",
    ("http_request_method", "http_route", "http_response_status_code"),
    HTTP_SECONDS_BUCKETS,
    exemplar=True,
)

RESERVED: Final = (GEN_AI_TOKEN_USAGE, GEN_AI_OPERATION_DURATION, COST)
"""Named for agents that call models; nothing exposes them yet."""

METRICS: Final = (
    TASKS_SUBMITTED,
    TASKS,
    TASK_DURATION,
    TASK_WAIT,
    TASK_END_TO_END,
    TASKS_IN_PROGRESS,
    OLDEST_RUNNING_TASK,
    QUEUE_TASKS,
    QUEUE_OLDEST_TASK,
    WORKERS,
    AGENT_CPU,
    AGENT_IO,
    AGENT_MEMORY,
    WORKER_CPU,
    WORKER_MEMORY,
    ERRORS,
    HTTP_DURATION,
    INCIDENTS_OPEN,
    INCIDENTS_OPENED,
    INCIDENT_UNACKNOWLEDGED,
    INCIDENT_ESCALATION_AFTER,
    INCIDENT_TIME_TO_ACKNOWLEDGE,
    INCIDENT_TIME_TO_RESOLVE,
    *RESERVED,
)


class Outcome(StrEnum):
    """How an attempt at a task ended (the `outcome` label)."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    CRASH = "crash"
    CANCELED = "canceled"
    RETRY = "retry"


class QueueState(StrEnum):
    """Where the tasks of a queue are (the `state` label of `agent_queue_tasks`); RQ's words."""

    QUEUED = "queued"
    STARTED = "started"
    DEFERRED = "deferred"
    SCHEDULED = "scheduled"
    FAILED = "failed"
    FINISHED = "finished"
    CANCELED = "canceled"


class WorkerState(StrEnum):
    """What a worker does (the `state` label of `agent_workers`); RQ's words."""

    IDLE = "idle"
    BUSY = "busy"
    SUSPENDED = "suspended"


class IoDirection(StrEnum):
    """The `direction` label of `agent_io_bytes_total`."""

    READ = "read"
    WRITE = "write"


EXEMPLAR_TRACE_ID: Final = "trace_id"
"""The exemplar label from which Grafana opens the trace."""


class ServiceName(StrEnum):
    """`service.name` of the two kinds of process."""

    API = "agent-api"
    WORKER = "agent-worker"


class Field(StrEnum):
    """Fields of a log line: ECS names, nested on the wire (`log.level` is `{"log": {"level": …}}`)."""

    TIMESTAMP = "@timestamp"
    LOG_LEVEL = "log.level"
    LOG_LOGGER = "log.logger"
    MESSAGE = "message"
    SERVICE_NAME = "service.name"
    SERVICE_VERSION = "service.version"
    HOST_NAME = "host.name"
    PROCESS_PID = "process.pid"
    EVENT_ID = "event.id"
    TRACE_ID = "trace.id"
    SPAN_ID = "span.id"
    FLAT_TRACE_ID = "trace_id"
    TASK_ID = "task.id"
    WORKFLOW_ID = "workflow.id"
    AGENT_NAME = "gen_ai.agent.name"
    AGENT_ID = "gen_ai.agent.id"
    ERROR_TYPE = "error.type"
    ERROR_MESSAGE = "error.message"
    ERROR_STACK_TRACE = "error.stack_trace"
    LABELS = "labels"


ALWAYS_LOGGED: Final = (
    Field.TIMESTAMP,
    Field.LOG_LEVEL,
    Field.LOG_LOGGER,
    Field.MESSAGE,
    Field.SERVICE_NAME,
    Field.SERVICE_VERSION,
    Field.HOST_NAME,
    Field.PROCESS_PID,
    Field.EVENT_ID,
)
"""The fields that no line lacks."""

LOG_DATA_STREAM: Final = "logs-agents-default"
"""The Elasticsearch data stream of the log lines."""


class Attribute(StrEnum):
    """Span attributes, by the OpenTelemetry semantic conventions where those have a name."""

    OPERATION_NAME = "gen_ai.operation.name"
    AGENT_NAME = "gen_ai.agent.name"
    AGENT_ID = "gen_ai.agent.id"
    AGENT_VERSION = "gen_ai.agent.version"
    TOOL_NAME = "gen_ai.tool.name"
    TOOL_TYPE = "gen_ai.tool.type"
    TASK_ID = "task.id"
    TASK_ATTEMPT = "task.attempt"
    TASK_OUTCOME = "task.outcome"
    WORKFLOW_ID = "workflow.id"
    PROFILE_ID = "profile.id"
    PROFILE_KIND = "profile.kind"
    ERROR_TYPE = "error.type"
    MESSAGING_SYSTEM = "messaging.system"
    MESSAGING_DESTINATION = "messaging.destination.name"
    MESSAGING_OPERATION_NAME = "messaging.operation.name"
    MESSAGING_OPERATION_TYPE = "messaging.operation.type"
    MESSAGING_MESSAGE_ID = "messaging.message.id"
    HTTP_METHOD = "http.request.method"
    HTTP_METHOD_ORIGINAL = "http.request.method_original"
    HTTP_ROUTE = "http.route"
    HTTP_STATUS_CODE = "http.response.status_code"
    URL_PATH = "url.path"
    URL_QUERY = "url.query"
    URL_SCHEME = "url.scheme"
    USER_AGENT = "user_agent.original"
    SERVER_ADDRESS = "server.address"
    SERVER_PORT = "server.port"
    CLIENT_ADDRESS = "client.address"
    CLIENT_PORT = "client.port"
    PROTOCOL_VERSION = "network.protocol.version"


METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
"""What `http.request.method` may be; a stranger's own method would make a time series for each guess."""
OTHER_METHOD: Final = "_OTHER"
"""`http.request.method` of every other one.

Source: https://opentelemetry.io/docs/specs/semconv/registry/attributes/http/
"""


MESSAGING_SYSTEM: Final = "rq"
"""`messaging.system` of the queue spans."""


class Operation(StrEnum):
    """`gen_ai.operation.name` of the spans inside a task."""

    INVOKE_AGENT = "invoke_agent"
    EXECUTE_TOOL = "execute_tool"
    CHAT = "chat"


def send_span(queue: str) -> str:
    """Return the name of the PRODUCER span of a submission."""
    return f"send {queue}"


def process_span(queue: str) -> str:
    """Return the name of the CONSUMER span of one attempt."""
    return f"process {queue}"


def invoke_agent_span(agent: str) -> str:
    """Return the name of the span around an agent's function."""
    return f"{Operation.INVOKE_AGENT} {agent}"


def execute_tool_span(tool: str) -> str:
    """Return the name of the span around a tool."""
    return f"{Operation.EXECUTE_TOOL} {tool}"

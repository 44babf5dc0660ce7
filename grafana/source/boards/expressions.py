"""PromQL that several dashboards share, so that the same question has the same answer everywhere.

Every replica of the API tells the queues' gauges, so these take the largest of what is told and never add it up. Each
worker tells only of itself, so those are added up.
"""

from __future__ import annotations

from typing import Final

BAD: Final = 'outcome=~"failure|timeout|crash"'
ENDED: Final = 'outcome!~"canceled|retry"'
"""Outcomes that tell of success or failure: a cancellation is somebody's wish, a retry is judged by its last run."""


def queue_tasks(state: str, queue: str = ".*") -> str:
    """Return the tasks of queues in a state."""
    return f'max by (queue) (agent_queue_tasks{{queue=~"{queue}", state="{state}"}})'


def oldest_task(queue: str = ".*") -> str:
    """Return the age of the task at the head of each queue."""
    return f'max by (queue) (agent_queue_oldest_task_seconds{{queue=~"{queue}"}})'


def workers(queue: str = ".*") -> str:
    """Return the live workers by queue and state."""
    return f'max by (queue, state) (agent_workers{{queue=~"{queue}"}})'


def failing(matchers: str = "") -> str:
    """Return the share of each agent's tasks that ended badly, as the alert has it; 0 where none did."""
    more = f", {matchers}" if matchers else ""
    return (
        f"(agent:agent_tasks_failed:ratio_increase10m{{{matchers}}} >= 0"
        f" or on (agent) 0 * sum by (agent) (agent:agent_tasks:increase10m{{{ENDED}{more}}}))"
    )


def quantile(share: float, histogram: str, matchers: str = "", by: str = "", window: str = "$__rate_interval") -> str:
    """Return a quantile of a histogram's observations; nothing where there are none.

    Args:
        share: Which, from 0 to 1.
        histogram: Its name, without `_bucket`.
        matchers: Between the braces.
        by: Labels that tell the lines apart.
        window: Over which time.
    """
    grouping = f"{by}, le" if by else "le"
    # The comparison drops what is not a number.
    return f"(histogram_quantile({share}, sum by ({grouping}) (rate({histogram}_bucket{{{matchers}}}[{window}]))) >= 0)"


def average(histogram: str, matchers: str = "", by: str = "", window: str = "$__rate_interval") -> str:
    """Return the average of a histogram's observations; nothing where there are none."""
    grouped = f"sum by ({by})" if by else "sum"
    return (
        f"{grouped} (rate({histogram}_sum{{{matchers}}}[{window}]))"
        f" / ({grouped} (rate({histogram}_count{{{matchers}}}[{window}])) > 0)"
    )

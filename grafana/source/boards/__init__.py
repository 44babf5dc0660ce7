"""Every dashboard, in the order in which they are listed."""

from __future__ import annotations

from grafana.source.board import Board
from grafana.source.boards import agent, agents, api, incidents, logs, overview, performance, queue, stack

BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    agents.BOARD,
    agent.BOARD,
    queue.BOARD,
    api.BOARD,
    performance.BOARD,
    logs.BOARD,
    incidents.BOARD,
    stack.BOARD,
)

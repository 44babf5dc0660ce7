"""Starts and stops the stack, and tells where it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from stack.engine import REPOSITORY, EngineError, ask, compose_words, configuration, missing_images, run_compose
from stack.env_file import MissingSettingError, read_env
from stack.preflight import engine_fault, machine_faults, port_faults
from stack.secret_files import DIRECTORY, write_secret_files

OK = 0
FAILED = 1
NOT_HERE = 3
"""No engine, or images that cannot be had: another form of the system may be started instead."""


def say(line: str) -> None:
    """Show a line to the user."""
    print(line, flush=True)


def complain(line: str) -> None:
    """Show a line about a fault to the user."""
    print(line, file=sys.stderr, flush=True)


def up(env_file: Path) -> int:
    """Check, start, wait until everything is healthy, and tell where it is."""
    code = preflight(env_file)
    if code != OK:
        return code
    project = configuration(env_file)
    missing = missing_images(project)
    if missing and run_compose(env_file, "pull", "--policy", "missing", "--ignore-buildable") != OK:
        complain(f"images that cannot be pulled: {', '.join(missing_images(project))}")
        return NOT_HERE
    code = run_compose(env_file, "up", "--detach", "--build", "--wait", "--remove-orphans")
    if code != OK:
        complain("not everything came up; `make ps` shows what, `make logs S=service` why")
        return FAILED
    return urls(env_file)


def preflight(env_file: Path) -> int:
    """Look whether the stack can run here, and write the files with its secrets."""
    fault = engine_fault()
    if fault:
        complain(str(fault))
        return NOT_HERE
    try:
        write_secrets(env_file)
        project = configuration(env_file)
        faults = [*machine_faults(), *port_faults(project, env_file)]
    except (MissingSettingError, EngineError) as error:
        complain(str(error))
        return FAILED
    for found in faults:
        complain(f"{'' if found.fatal else 'warning: '}{found}")
    return FAILED if any(found.fatal for found in faults) else OK


def write_secrets(env_file: Path) -> None:
    """Write the files with the secrets of an env file.

    Raises:
        MissingSettingError: One is missing.
    """
    values = read_env(env_file)
    write_secret_files(values, REPOSITORY / values.get("SECRETS_DIR", DIRECTORY))


def down(env_file: Path) -> int:
    """Stop and remove the containers; volumes, and with them all data, stay."""
    return run_compose(env_file, "--profile", "*", "down", "--remove-orphans")


def reset(env_file: Path, *, ask_user: Callable[[str], str] = input) -> int:
    """Remove the containers and all data, after the user said so."""
    say("This deletes every task, metric, log line and trace of the stack, and what was changed in its tools.")
    if ask_user("Type `yes` to go on: ").strip() != "yes":
        say("Nothing was deleted.")
        return FAILED
    return run_compose(env_file, "--profile", "*", "down", "--remove-orphans", "--volumes")


def is_up(env_file: Path) -> int:
    """Say by the exit code whether any container of the stack runs."""
    if engine_fault():
        return FAILED
    try:
        running = ask(*compose_words(env_file, "ps", "--quiet", "--status", "running"))
    except EngineError:
        return FAILED
    return OK if running.returncode == 0 and running.stdout.strip() else FAILED


def ps(env_file: Path) -> int:
    """Show every container and how it is."""
    columns = "table {{.Service}}\t{{.Status}}\t{{.Ports}}"
    return run_compose(env_file, "--profile", "*", "ps", "--all", "--format", columns)


def urls(env_file: Path) -> int:
    """Print where everything is, and with which login."""
    for name, url, login in places(read_env(env_file)):
        say(f"  {name:<14} {url:<30} {login}".rstrip())
    return OK


def places(values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the name, the URL and the login of everything that has a page."""

    def url(variable: str, default: int, path: str = "") -> str:
        return f"http://localhost:{values.get(variable, default)}{path}"

    return [
        ("Console", url("API_PORT", 8000, "/"), "the key API_KEY in .env"),
        ("API", url("API_PORT", 8000, "/docs"), "the key API_KEY in .env"),
        ("Grafana", url("GRAFANA_PORT", 3000), "admin, GRAFANA_ADMIN_PASSWORD in .env"),
        ("Kibana", url("KIBANA_PORT", 5601), "elastic, ELASTIC_PASSWORD in .env"),
        ("Jaeger", url("JAEGER_PORT", 16686), ""),
        ("Prometheus", url("PROMETHEUS_PORT", 9090), ""),
        ("Alertmanager", url("ALERTMANAGER_PORT", 9093), ""),
        ("Elasticsearch", url("ELASTICSEARCH_PORT", 9200), "elastic, ELASTIC_PASSWORD in .env"),
    ]

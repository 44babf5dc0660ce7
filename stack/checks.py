"""Checks every file of the stack with the program that will read it, and holds all of them to the telemetry contract.

A program is taken from the PATH or this Python's own folder, else from the image that docker-compose.yml names, where
the engine has it; else its check is skipped and says so.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from log_alerts.patterns import PatternError, load
from log_alerts.rules import outdated
from stack.alert_faults import comment_faults, rule_faults, runbook_faults, untested
from stack.engine import COMPOSE_FILE, REPOSITORY, EngineError, ask, configuration, has_docker, has_image
from stack.env_file import new_env
from stack.names import unknown_fields, unknown_metrics

IN_IMAGE = {"promtool": "PROMETHEUS_IMAGE", "amtool": "ALERTMANAGER_IMAGE"}
"""Programs that come with an image, and the variable that names it."""
TOOL_SECONDS = 120.0
MEMORY_LIMIT = int(4.5 * 2**30)
LOOPBACK = "127.0.0.1"
SCRIPTS = (
    "alertmanager/start.sh",
    "elasticsearch/setup/setup.sh",
    "elasticsearch/janitor/janitor.sh",
    "kibana/import.sh",
    "log_alerts/start.sh",
)
EXAMPLE_ALERT = '{{ template "agents.subject" . }}{{ template "agents.text" . }}'


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended.

    Attributes:
        name: What was checked.
        faults: What is wrong, a line each.
        skipped: Why it was not checked, if it was not.
    """

    name: str
    faults: tuple[str, ...] = ()
    skipped: str | None = None

    def __str__(self) -> str:
        if self.skipped:
            return f"skipped  {self.name}: {self.skipped}"
        lines = "".join(f"\n         {line}" for fault in self.faults for line in fault.splitlines())
        return f"{'FAILED' if self.faults else 'ok':<8} {self.name}{lines}"


class ToolMissingError(Exception):
    """A program is neither here nor in an image; the message says so."""


Check = Callable[[Path], Iterator[str]]
"""Looks at the repository in a folder and yields what is wrong, a line each."""


def check() -> int:
    """Run every check, print how each ended, and return 1 when one failed."""
    failed = False
    for name in CHECKS:
        result = run_check(name, REPOSITORY)
        print(result, flush=True)
        failed = failed or bool(result.faults)
    return int(failed)


def run_check(name: str, root: Path) -> Result:
    """Run one check on the repository in a folder."""
    try:
        return Result(name, tuple(CHECKS[name](root)))
    except ToolMissingError as error:
        return Result(name, skipped=str(error))
    except (EngineError, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        return Result(name, (f"{type(error).__name__}: {error}",))


def tool(root: Path, name: str, *words: str) -> Iterator[str]:
    """Run a checking program in a repository and yield what it complains about.

    Raises:
        ToolMissingError: There is no such program.
    """
    done = ask(*_command(root, name), *words, seconds=TOOL_SECONDS, folder=root)
    if done.returncode != 0:
        yield (done.stdout + done.stderr).strip() or f"{name} ended with {done.returncode}"


def _command(root: Path, name: str) -> list[str]:
    beside = Path(sys.executable).with_name(name)
    path = shutil.which(name) or (str(beside) if beside.exists() else None)
    if path:
        return [path]
    if name in IN_IMAGE:
        image = image_of(root, IN_IMAGE[name])
        if has_image(image):
            mount = f"{root}:/repository:ro"
            return ["docker", "run", "--rm", "-v", mount, "-w", "/repository", "--entrypoint", f"/bin/{name}", image]
        raise ToolMissingError(f"{name} is not on the PATH, and the image {image} is not here")
    raise ToolMissingError(f"{name} is not on the PATH")


def image_of(root: Path, variable: str) -> str:
    """Return the image that docker-compose.yml names for a variable where it is not set."""
    text = (root / COMPOSE_FILE).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"${{{variable}:-")
    if not found:
        raise ValueError(f"{COMPOSE_FILE} has no {variable}")
    return rest.partition("}")[0]


def _prometheus(root: Path) -> Iterator[str]:
    yield from tool(root, "promtool", "check", "config", "--lint=all", "--lint-fatal", "prometheus/prometheus.yml")
    yield from tool(
        root, "promtool", "check", "rules", "--lint=all", "--lint-fatal", *_files(root, "prometheus/rules", "*.yml")
    )


def _prometheus_tests(root: Path) -> Iterator[str]:
    yield from tool(root, "promtool", "test", "rules", *_files(root, "prometheus/tests", "*.yml"))


def _alertmanager(root: Path) -> Iterator[str]:
    yield from tool(root, "amtool", "check-config", "alertmanager/alertmanager.yml")
    glob = "--template.glob=alertmanager/templates/*.tmpl"
    yield from tool(root, "amtool", "template", "render", glob, f"--template.text={EXAMPLE_ALERT}")


def _alertmanager_routes(root: Path) -> Iterator[str]:
    cases = yaml.safe_load((root / "alertmanager/tests/routes.yml").read_text(encoding="utf-8"))
    for case in cases:
        labels = [f"{name}={value}" for name, value in case["labels"].items()]
        words = ("config", "routes", "test", "--config.file=alertmanager/alertmanager.yml")
        yield from tool(root, "amtool", *words, f"--verify.receivers={case['receiver']}", *labels)


def _dockerfile(root: Path) -> Iterator[str]:
    yield from tool(root, "hadolint", "Dockerfile", "log_alerts/Dockerfile")


def _yaml(root: Path) -> Iterator[str]:
    folders = ("prometheus", "alertmanager", "grafana", "logstash", "elasticsearch", "kibana", "jaeger", ".github")
    # The rules of log alerts are written by a program, one query a line.
    yield from tool(root, "yamllint", "--strict", "docker-compose.yml", "log_alerts/elastalert.yml", *folders)


def _workflows(root: Path) -> Iterator[str]:
    yield from tool(root, "actionlint", *_files(root, ".github/workflows", "*.yml"))


def _scripts(root: Path) -> Iterator[str]:
    for script in SCRIPTS:
        yield from tool(root, "sh", "-n", script)


def _json(root: Path) -> Iterator[str]:
    for folder in ("elasticsearch", "grafana", "jaeger"):
        for name in _files(root, folder, "**/*.json"):
            yield from _json_faults(name, (root / name).read_text(encoding="utf-8"))


def _ndjson(root: Path) -> Iterator[str]:
    for name in _files(root, "kibana/saved_objects", "*.ndjson"):
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1):
            yield from _json_faults(f"{name}:{number}", line)


def _json_faults(name: str, text: str) -> Iterator[str]:
    try:
        if not isinstance(json.loads(text), dict):
            yield f"{name}: not a JSON object"
    except ValueError as error:
        yield f"{name}: {error}"


def _compose(root: Path) -> Iterator[str]:
    if not has_docker() or ask("docker", "compose", "version").returncode != 0:
        raise ToolMissingError("Docker Compose is not installed")
    with tempfile.TemporaryDirectory() as folder:
        env_file = Path(folder) / "env"
        env_file.write_text(new_env("as_for-the-check-only"), encoding="utf-8")
        yield from project_faults(configuration(env_file, root=root), configuration(env_file, profiles=True, root=root))


def project_faults(project: dict[str, Any], with_profiles: dict[str, Any]) -> Iterator[str]:
    """Yield what a compose project does that it must not.

    Args:
        project: The project as it is started.
        with_profiles: The same with the services of all profiles.
    """
    for name, service in with_profiles["services"].items():
        yield from (f"{name}: {fault}" for fault in service_faults(service))
    deploys = [service.get("deploy", {}) for service in project["services"].values()]
    total = sum(int(_limits(deploy).get("memory", 0)) * int(deploy.get("replicas") or 1) for deploy in deploys)
    if total > MEMORY_LIMIT:
        yield f"the memory limits add up to {total / 2**30:.2f} GiB, more than {MEMORY_LIMIT / 2**30} GiB"


def service_faults(service: dict[str, Any]) -> Iterator[str]:
    """Yield what a service does that it must not."""
    if not _has_full_tag(service["image"]):
        yield f"the image {service['image']} has no full tag"
    if service.get("privileged") and "host" not in service.get("profiles", ()):
        yield "it is privileged"
    for port in service.get("ports", ()):
        if port.get("host_ip") != LOOPBACK:
            yield f"port {port['published']} is open beyond this machine"
    if service.get("restart") != "no" and "healthcheck" not in service:
        yield "it has no health check"
    missing = {"memory", "cpus"} - set(_limits(service.get("deploy", {})))
    if missing:
        yield f"it has no limit of {' and '.join(sorted(missing))}"
    yield from _confinement_faults(service)


def _confinement_faults(service: dict[str, Any]) -> Iterator[str]:
    if service.get("cap_drop") != ["ALL"]:
        yield "it keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", ()):
        yield "it may gain privileges"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "its logs grow without end"


def _limits(deploy: dict[str, Any]) -> dict[str, Any]:
    return dict(deploy.get("resources", {}).get("limits", {}))


def _has_full_tag(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return bool(tag) and tag != "latest"


def _log_alerts(root: Path) -> Iterator[str]:
    try:
        stale = outdated(load(root / "log_alerts/patterns.toml"), root / "log_alerts/rules")
    except PatternError as error:
        yield str(error)
        return
    yield from (f"log_alerts/rules/{name} does not fit the patterns; run `python -m log_alerts`" for name in stale)


def _alerts(root: Path) -> Iterator[str]:
    for find in (rule_faults, comment_faults, untested, runbook_faults):
        yield from find(root)


def _metrics(root: Path) -> Iterator[str]:
    yield from unknown_metrics(root)


def _fields(root: Path) -> Iterator[str]:
    yield from unknown_fields(root)


def _files(root: Path, folder: str, pattern: str) -> list[str]:
    return [str(file.relative_to(root)) for file in sorted((root / folder).glob(pattern))]


CHECKS: dict[str, Check] = {
    "Prometheus: configuration and rules": _prometheus,
    "Prometheus: tests of the rules": _prometheus_tests,
    "Alertmanager: configuration and templates": _alertmanager,
    "Alertmanager: tests of the routes": _alertmanager_routes,
    "Alerts: labels, links, tests and runbooks": _alerts,
    "Log alerts: patterns and their rules": _log_alerts,
    "Names of metrics": _metrics,
    "Names of log fields": _fields,
    "JSON": _json,
    "NDJSON": _ndjson,
    "YAML": _yaml,
    "Shell scripts": _scripts,
    "Compose project": _compose,
    "Dockerfile": _dockerfile,
    "Workflows": _workflows,
}

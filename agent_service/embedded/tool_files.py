"""Makes the configuration of Prometheus, Alertmanager and Jaeger for this machine out of that for the whole stack.

The files of the stack stay the one source: what is changed here is where things are, what is not there is left out, and
Jaeger keeps its traces in memory instead of in Elasticsearch.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

HOST: Final = "127.0.0.1"
MAX_TRACES: Final = 20_000
ASSEMBLY_SECONDS: Final = 10.0
ALERT_SECRETS: Final = (
    "ALERTS_TOKEN",
    "ALERT_HEARTBEAT_URL",
    "ALERT_PAGERDUTY_KEY",
    "ALERT_SLACK_URL",
    "ALERT_SMTP_PASSWORD",
    "ALERT_WEBHOOK_URL",
)
"""Settings that Alertmanager reads from a file each; an empty one switches its receiver off."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts listen on this machine, as host:port; None for what does not run.

    Attributes:
        metrics: The API's internal port.
        api: The API, as a URL.
        jaeger_telemetry: Jaeger's own metrics, and those that it counts from spans.
    """

    metrics: str
    api: str
    prometheus: str | None = None
    alertmanager: str | None = None
    jaeger: str | None = None
    otlp: str | None = None
    jaeger_telemetry: tuple[str, str] | None = None


class ToolFileError(Exception):
    """A file of the stack is not as it is expected to be; the message says which one and why."""


def prometheus_config(source: Path, addresses: Addresses) -> dict[str, Any]:
    """Return prometheus.yml with the targets that there are here.

    Args:
        source: The stack's prometheus.yml, with `rules/` beside it.
        addresses: Where the parts are.

    Raises:
        ToolFileError: The file cannot be used.
    """
    config = _read(source)
    jaeger, spans = addresses.jaeger_telemetry or (None, None)
    targets = {
        "agent-api": addresses.metrics,
        "prometheus": addresses.prometheus,
        "alertmanager": addresses.alertmanager,
        "jaeger": jaeger,
        "jaeger-spans": spans,
    }
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    here = [
        {**jobs[name], "static_configs": [{"targets": [target]}]}
        for name, target in targets.items()
        if target and name in jobs
    ]
    workers = {**jobs["agent-worker"]}
    (discovery,) = workers["http_sd_configs"]
    workers["http_sd_configs"] = [{**discovery, "url": f"http://{addresses.metrics}/sd/workers"}]
    manager = [{"static_configs": [{"targets": [addresses.alertmanager]}]}] if addresses.alertmanager else []
    return {
        **config,
        "rule_files": [str(source.parent.resolve() / "rules" / "*.yml")],
        "alerting": {"alertmanagers": manager},
        "scrape_configs": [*here, workers],
    }


def alertmanager_config(folder: Path, secrets: Path, addresses: Addresses, settings: Mapping[str, str]) -> str:
    """Return alertmanager.yml with the receivers that are configured, as the stack's own script makes it.

    Args:
        folder: The stack's folder `alertmanager`.
        secrets: Where the secrets are written, for the owner only.
        addresses: Where the parts are.
        settings: ALERTS_TOKEN and the settings whose names begin with ALERT_.

    Raises:
        ToolFileError: The script ends with an error.
        OSError: The folder of the secrets cannot be written.
    """
    secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ALERT_SECRETS:
        file = secrets / name.lower()
        file.touch(mode=0o600)
        file.write_text(settings.get(name, ""), encoding="utf-8")
    environment = {
        **{name: value for name, value in settings.items() if name.startswith("ALERT_")},
        "PATH": os.environ.get("PATH", os.defpath),
        "ALERT_TEMPLATE": str(folder / "alertmanager.yml"),
        "ALERT_SECRETS_DIR": str(secrets.resolve()),
        "ALERT_INCIDENTS_URL": settings.get("ALERT_INCIDENTS_URL") or f"{addresses.api}/alerts",
    }
    done = subprocess.run(  # noqa: S603 - the script of this repository
        ["sh", str(folder / "start.sh"), "--print"],  # noqa: S607 - wherever the system has its shell
        env=environment,
        capture_output=True,
        text=True,
        timeout=ASSEMBLY_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ToolFileError(f"{folder / 'start.sh'}: {done.stderr.strip()}")
    return done.stdout.replace("/etc/alertmanager/templates", str(folder.resolve() / "templates"))


def jaeger_config(source: Path, addresses: Addresses, spare_ports: Mapping[str, int]) -> dict[str, Any]:
    """Return Jaeger's config.yml with its traces in memory and all of its ports on the loopback.

    Args:
        source: The stack's config.yml, with `ui.json` beside it.
        addresses: Where the parts are; `jaeger`, `otlp` and `jaeger_telemetry` are set.
        spare_ports: Free ports for `health`, `query_grpc` and `otlp_grpc`, which nobody needs here.

    Raises:
        ToolFileError: The file cannot be used.
    """
    config = _read(source)
    telemetry, spans = addresses.jaeger_telemetry or ("", "")
    extensions = config["extensions"]
    extensions["healthcheckv2"]["http"]["endpoint"] = f"{HOST}:{spare_ports['health']}"
    extensions["jaeger_storage"] = {"backends": {"here": {"memory": {"max_traces": MAX_TRACES}}}}
    extensions["jaeger_query"] = {
        "storage": {"traces": "here"},
        "ui": {"config_file": str(source.parent.resolve() / "ui.json")},
        "http": {"endpoint": addresses.jaeger},
        "grpc": {"endpoint": f"{HOST}:{spare_ports['query_grpc']}"},
    }
    config["receivers"]["otlp"]["protocols"] = {
        "http": {"endpoint": addresses.otlp},
        "grpc": {"endpoint": f"{HOST}:{spare_ports['otlp_grpc']}"},
    }
    config["exporters"]["jaeger_storage_exporter"] = {"trace_storage": "here"}
    config["exporters"]["prometheus"] = {"endpoint": spans}
    pull = {"host": HOST, "port": int(telemetry.rpartition(":")[2])}
    config["service"]["telemetry"]["metrics"]["readers"] = [{"pull": {"exporter": {"prometheus": pull}}}]
    return config


def _read(source: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ToolFileError(f"{source} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ToolFileError(f"{source} holds no settings")
    return config

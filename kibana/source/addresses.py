"""Where a browser finds what Kibana links to, with the ports that `.env` has from the start."""

from __future__ import annotations

from typing import Final

SERVICE: Final = "http://localhost:8000"
GRAFANA: Final = "http://localhost:3000"
JAEGER: Final = "http://localhost:16686"

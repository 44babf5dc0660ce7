"""Writes the dashboards of Grafana: each a module in `boards`, as JSON into `grafana/dashboards`."""

"""Every panel's queries, run as Grafana would against what the stack really holds."""

"""Panels that may be empty, each with the reason. Whatever is empty and not listed here is a fault."""

from __future__ import annotations

EXPLAINED = {
    ("api", "Warnings and errors of the API"): "the API warned of nothing",
    ("incidents", "Firing and pending"): "nothing is wrong",
    ("incidents", "Alerts over time"): "nothing was wrong",
    ("incidents", "Time until somebody took it"): "nobody had to take an incident today",
    ("incidents", "Time until it was over"): "no incident ended today",
    ("overview", "What is wrong"): "nothing is wrong",
    ("stack", "Time of a search"): "nobody searched for the last five minutes",
}
"""By dashboard and title: why there is nothing to show when all is well."""

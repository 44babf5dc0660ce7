"""Kibana's query language, as far as the saved objects use it."""

from __future__ import annotations

import re

_QUOTED = re.compile(r'("[^"]*")')


def lucene(kql: str) -> str:
    """Return a query as Elasticsearch's own `query_string` takes it."""
    parts = _QUOTED.split(kql.strip())
    for place in range(0, len(parts), 2):
        part = re.sub(r"\s*:\s*", ":", parts[place])
        parts[place] = re.sub(r"\b(and|or|not)\b", lambda word: word[0].upper(), part)
    return "".join(parts) or "*"

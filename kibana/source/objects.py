"""The kinds of saved object, each as Kibana exports it.

Kibana keeps much of an object as JSON inside of JSON, and names what it refers to in a list beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CORE_VERSION: Final = "8.8.0"
"""Of the format that all kinds share; exports of 8.8 to 9 carry it."""
VERSIONS: Final = {"index-pattern": "8.0.0", "search": "10.5.0", "dashboard": "8.9.0"}
"""Of each kind's own format: Kibana brings older ones up to date when it imports them, and refuses newer ones."""
SOURCE_INDEX: Final = "kibanaSavedObjectMeta.searchSourceJSON.index"

Reference = dict[str, str]
SavedObject = dict[str, Any]


def packed(value: Any) -> str:
    """Return a value as JSON inside of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def reference(kind: str, target: str, name: str) -> Reference:
    """Return an entry of an object's list of references."""
    return {"id": target, "name": name, "type": kind}


def _saved(kind: str, object_id: str, attributes: Mapping[str, Any], references: Sequence[Reference]) -> SavedObject:
    return {
        "id": object_id,
        "type": kind,
        "attributes": dict(attributes),
        "references": list(references),
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": VERSIONS[kind],
        "managed": False,
    }


def data_view(view_id: str, name: str, pattern: str, links: Mapping[str, str] | None = None) -> SavedObject:
    """Return a data view.

    Args:
        view_id: Its id.
        name: What it is called.
        pattern: The data streams.
        links: Fields whose values lead somewhere, and where to; `{{rawValue}}` stands for the value.
    """
    formats = {
        name: {
            "id": "url",
            "params": {"type": "a", "urlTemplate": url, "labelTemplate": "{{value}}", "openLinkInCurrentTab": False},
        }
        for name, url in (links or {}).items()
    }
    attributes = {
        "name": name,
        "title": pattern,
        "timeFieldName": "@timestamp",
        "sourceFilters": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": packed(formats),
        "runtimeFieldMap": "{}",
        "fields": "[]",
        "typeMeta": "{}",
    }
    return _saved("index-pattern", view_id, attributes, [])


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition that is shown under a name of its own, for what Kibana's query language cannot say.

    Attributes:
        name: What it is called.
        query: In Elasticsearch's own language.
    """

    name: str
    query: Mapping[str, Any]

    def build(self, number: int) -> tuple[dict[str, Any], str]:
        """Return it as the object has it, and the name of its reference to the data view."""
        ref = f"kibanaSavedObjectMeta.searchSourceJSON.filter[{number}].meta.index"
        meta = {
            "alias": self.name,
            "disabled": False,
            "indexRefName": ref,
            "key": "query",
            "negate": False,
            "type": "custom",
            "value": packed(self.query),
        }
        return {"$state": {"store": "appState"}, "meta": meta, "query": dict(self.query)}, ref


@dataclass(frozen=True, slots=True)
class Search:
    """A saved search.

    Attributes:
        search_id: Its id.
        title: Its title.
        description: What it shows.
        view: The data view.
        query: In Kibana's query language.
        columns: The fields that are shown.
        filters: Further conditions.
    """

    search_id: str
    title: str
    description: str
    view: str
    query: str
    columns: Sequence[str]
    filters: Sequence[Filter] = field(default_factory=tuple)
    oldest_first: bool = False

    def build(self) -> SavedObject:
        """Return the saved object."""
        filters = [condition.build(number) for number, condition in enumerate(self.filters)]
        source = {
            "query": {"language": "kuery", "query": self.query},
            "filter": [built for built, _ in filters],
            "highlightAll": True,
            "version": True,
            "indexRefName": SOURCE_INDEX,
        }
        attributes = {
            "title": self.title,
            "description": self.description,
            "columns": list(self.columns),
            "sort": [["@timestamp", "asc" if self.oldest_first else "desc"]],
            "grid": {},
            "hideChart": False,
            "isTextBasedQuery": False,
            "timeRestore": False,
            "kibanaSavedObjectMeta": {"searchSourceJSON": packed(source)},
        }
        names = [SOURCE_INDEX, *(ref for _, ref in filters)]
        return _saved(
            "search", self.search_id, attributes, [reference("index-pattern", self.view, name) for name in names]
        )


def dashboard(
    board_id: str, title: str, description: str, panels: Sequence[tuple[dict[str, Any], list[Reference]]]
) -> SavedObject:
    """Return a dashboard.

    Args:
        board_id: Its id.
        title: Its title.
        description: What it is for.
        panels: Its panels, each with what it refers to.
    """
    attributes = {
        "title": title,
        "description": description,
        "panelsJSON": packed([panel for panel, _ in panels]),
        "optionsJSON": packed(
            {
                "useMargins": True,
                "syncColors": True,
                "syncCursor": True,
                "syncTooltips": False,
                "hidePanelTitles": False,
            }
        ),
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": packed({"query": {"language": "kuery", "query": ""}, "filter": []})
        },
        "timeRestore": True,
        "timeFrom": "now-24h",
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 60000},
        "version": 1,
    }
    return _saved("dashboard", board_id, attributes, [each for _, references in panels for each in references])

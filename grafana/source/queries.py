"""The three kinds of query: PromQL, Lucene over the log lines, and searches for traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import elasticsearch, prometheus
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.elasticsearch import TermsOrder
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = DataSourceRef("prometheus", "prometheus")
ELASTICSEARCH: Final = DataSourceRef("elasticsearch", "elasticsearch")
JAEGER: Final = DataSourceRef("jaeger", "jaeger")
TIME_FIELD: Final = "@timestamp"
SELDOM: Final = "30s"
"""How often `prometheus.yml` has Elasticsearch and Logstash scraped."""

Query = Builder[variants.Dataquery]


def lines(
    expr: str, legend: str = "__auto", *, exemplars: bool = False, scraped: str | None = None
) -> prometheus.Dataquery:
    """Return a query for lines over time.

    Args:
        expr: PromQL.
        legend: How a line is called; `{{label}}` stands for a label.
        exemplars: Whether single observations are shown too, each a way to its trace.
        scraped: How often its target is scraped, where that is less often than usual: `$__rate_interval` follows it.
    """
    query = prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).legend_format(legend).range().exemplar(exemplars)
    return query.interval(scraped) if scraped else query


def now(expr: str, legend: str = "__auto") -> prometheus.Dataquery:
    """Return a query for the value at the end of the time that is looked at."""
    return prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).legend_format(legend).instant().exemplar(False)


def rows(expr: str) -> prometheus.Dataquery:
    """Return a query for the rows of a table, a column for each label."""
    return now(expr).format(PromQueryFormat.TABLE)


def buckets(expr: str) -> prometheus.Dataquery:
    """Return a query for a heat map of a histogram."""
    return lines(expr, "{{le}}", exemplars=True).format(PromQueryFormat.HEATMAP)


def log_lines(query: str, limit: int = 200) -> elasticsearch.Dataquery:
    """Return a query for log lines, the newest first.

    Args:
        query: In Lucene's language.
        limit: Most lines.
    """
    metric = elasticsearch.Logs().id("1").settings(elasticsearch.ElasticsearchLogsSettings().limit(str(limit)))
    return _logs(query).metrics([metric]).bucket_aggs([])


def log_counts(query: str, *by: str, size: int = 10, alias: str = "") -> elasticsearch.Dataquery:
    """Return a query for how many log lines there are over time, by the values of fields."""
    over_time = (
        elasticsearch.DateHistogram()
        .id("time")
        .field(TIME_FIELD)
        .settings(elasticsearch.ElasticsearchDateHistogramSettings().interval("auto").min_doc_count("0"))
    )
    counted = _logs(query).metrics([elasticsearch.Count().id("1")]).bucket_aggs([*_terms(by, size), over_time])
    return counted.alias(alias) if alias else counted


def log_rows(query: str, *by: str, size: int = 10) -> elasticsearch.Dataquery:
    """Return a query for a table of how many log lines each value of some fields has, the most frequent first."""
    return _logs(query).metrics([elasticsearch.Count().id("1")]).bucket_aggs([*_terms(by, size)])


def _logs(query: str) -> elasticsearch.Dataquery:
    return elasticsearch.Dataquery().datasource(ELASTICSEARCH).query(query).time_field(TIME_FIELD)


def _terms(fields: tuple[str, ...], size: int) -> list[elasticsearch.Terms]:
    settings = (
        elasticsearch.ElasticsearchTermsSettings()
        .order(TermsOrder.DESC)
        .order_by("_count")
        .min_doc_count("1")
        .size(str(size))
    )
    return [elasticsearch.Terms().id(field).field(field).settings(settings) for field in fields]


@dataclass(slots=True)
class TraceSearch(variants.Dataquery):
    """A search for traces, as Grafana's source for Jaeger takes it; the SDK has no model of it.

    Attributes:
        service: `service.name`.
        operation: The span's name; None for any.
        tags: What the span carries, as `key=value` separated by blanks.
        min_duration: Shortest that is found, such as `1s`.
    """

    service: str
    operation: str | None = None
    tags: str | None = None
    min_duration: str | None = None
    limit: int = 20
    ref_id: str = "A"
    datasource: DataSourceRef = JAEGER

    def to_json(self) -> dict[str, object]:
        """Return it as the dashboard has it."""
        optional = {"operation": self.operation, "tags": self.tags, "minDuration": self.min_duration}
        return {
            "refId": self.ref_id,
            "datasource": self.datasource,
            "queryType": "search",
            "service": self.service,
            "limit": self.limit,
            **{key: value for key, value in optional.items() if value is not None},
        }


@dataclass(slots=True)
class _Built(Builder[variants.Dataquery]):
    query: TraceSearch

    def build(self) -> TraceSearch:
        return self.query


def traces(
    service: str, operation: str | None = None, tags: str | None = None, min_duration: str | None = None
) -> Query:
    """Return a query for a table of traces, each with a link to it."""
    return _Built(TraceSearch(service, operation, tags, min_duration))

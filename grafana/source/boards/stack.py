"""The stack watching itself: whether what is seen on the other dashboards can be believed."""

from __future__ import annotations

from grafana.source import addresses
from grafana.source.board import Board, Section
from grafana.source.boards import machine
from grafana.source.limits import any_is, limits
from grafana.source.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    PER_SECOND,
    QUARTER,
    RATIO,
    SECONDS,
    THIRD,
    Link,
    number,
    series,
    states,
)
from grafana.source.queries import SELDOM, lines, now

_LOST_SPANS = " + ".join(
    f"(sum(increase({metric}[5m])) or vector(0))"
    for metric in (
        "otelcol_receiver_refused_spans_total",
        "otelcol_receiver_failed_spans_total",
        "otelcol_exporter_send_failed_spans_total",
        "jaeger_storage_bulk_index_errors_total",
    )
)
"""Refused at the door, failed on the way, or not taken by Elasticsearch."""
_STATUS = (
    'max(elasticsearch_cluster_health_status{color="green"}) + 2 * max(elasticsearch_cluster_health_status'
    '{color="yellow"}) + 3 * max(elasticsearch_cluster_health_status{color="red"})'
)

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Targets that are down",
            "Is there a part of which nothing is known?",
            now("count(up == 0) or vector(0)"),
            limits=any_is("orange"),
            alerts=["TargetDown"],
            links=[Link("In Prometheus", f"{addresses.PROMETHEUS}/targets")],
        ),
        number(
            "Rules that failed",
            "Does Prometheus judge all alerts? Failures of the last five minutes.",
            now("sum(increase(prometheus_rule_evaluation_failures_total[5m]))"),
            limits=limits("PrometheusRuleFailures"),
            alerts=["PrometheusRuleFailures"],
        ),
        number(
            "Alerts that did not get through",
            "Do alerts reach Alertmanager? Failures of the last five minutes.",
            now(
                "sum(increase(prometheus_notifications_errors_total[5m]))"
                " + sum(increase(prometheus_notifications_dropped_total[5m]))"
            ),
            limits=limits("PrometheusNotificationsFailing", severity="critical"),
            alerts=["PrometheusNotificationsFailing"],
        ),
        number(
            "Spans that were lost",
            "Are traces whole? Losses of the last five minutes.",
            now(_LOST_SPANS),
            limits=limits("JaegerDroppingSpans"),
            alerts=["JaegerDroppingSpans"],
        ),
        number(
            "State of Elasticsearch",
            "Can log lines and spans be kept and found?",
            now(_STATUS),
            words={"1": "green", "2": "yellow", "3": "red"},
            alerts=["ElasticsearchRed", "ElasticsearchYellow", "ElasticsearchDown"],
        ),
        number(
            "Valkey's memory",
            "Is there room for more tasks?",
            now("max(redis_memory_used_bytes / (redis_memory_max_bytes > 0))"),
            unit=RATIO,
            limits=limits("ValkeyMemoryHigh", 1),
            alerts=["ValkeyMemoryHigh"],
        ),
    ],
)

_TARGETS = Section(
    "Everything that is watched",
    [
        states(
            "Targets",
            "What was away, and when?",
            lines("min by (job, instance) (up)", "{{job}} {{instance}}"),
            words={"0": ("down", "red"), "1": ("up", "green")},
            alerts=["TargetDown"],
            height=10,
        ),
        series(
            "CPU",
            "Which part of the stack computes most? 1 is one core.",
            lines("sum by (job) (rate(process_cpu_seconds_total[$__rate_interval]))", "{{job}}"),
            unit=CORES,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Memory",
            "Which part of the stack grows?",
            lines("sum by (job) (process_resident_memory_bytes)", "{{job}}"),
            unit=BYTES,
            width=THIRD,
        ),
        series(
            "How long a scrape takes",
            "Who takes long to tell about itself?",
            lines("max by (job) (scrape_duration_seconds)", "{{job}}"),
            unit=SECONDS,
            width=THIRD,
        ),
    ],
)

_PROMETHEUS = Section(
    "Prometheus and Alertmanager",
    [
        series(
            "Samples",
            "How much does Prometheus take in?",
            lines("rate(prometheus_tsdb_head_samples_appended_total[$__rate_interval])", "{{type}}"),
            unit=PER_SECOND,
            width=QUARTER,
        ),
        series(
            "Series",
            "Does somebody put ids into labels?",
            lines("prometheus_tsdb_head_series", "series"),
            width=QUARTER,
        ),
        series(
            "Judging the rules",
            "How long does a group of rules take, of the time that it has?",
            lines(
                "max by (rule_group) (prometheus_rule_group_last_duration_seconds"
                " / prometheus_rule_group_interval_seconds)",
                "{{rule_group}}",
            ),
            unit=RATIO,
            width=QUARTER,
        ),
        series(
            "Space in use",
            "How much disk do the samples need?",
            lines("prometheus_tsdb_storage_blocks_bytes + prometheus_tsdb_wal_storage_size_bytes", "samples"),
            unit=BYTES,
            width=QUARTER,
        ),
        series(
            "Alerts sent on",
            "Do alerts reach Alertmanager?",
            lines("sum(rate(prometheus_notifications_sent_total[$__rate_interval]))", "sent"),
            lines("sum(rate(prometheus_notifications_errors_total[$__rate_interval]))", "failed"),
            lines("sum(rate(prometheus_notifications_dropped_total[$__rate_interval]))", "dropped"),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Alerts in Alertmanager",
            "What does it hold?",
            lines("sum by (state) (alertmanager_alerts)", "{{state}}"),
            width=THIRD,
        ),
        series(
            "Messages",
            "Does Alertmanager get its messages out?",
            lines("sum(rate(alertmanager_notifications_total[$__rate_interval]))", "sent"),
            lines("sum(rate(alertmanager_notifications_failed_total[$__rate_interval]))", "failed"),
            unit=PER_SECOND,
            links=[Link("Incidents and alerts", addresses.dashboard("incidents"))],
            width=THIRD,
        ),
    ],
)

_TRACES = Section(
    "Jaeger",
    [
        series(
            "Spans",
            "Do all spans that come in get stored?",
            lines("sum(rate(otelcol_receiver_accepted_spans_total[$__rate_interval]))", "taken"),
            lines("sum(rate(otelcol_receiver_refused_spans_total[$__rate_interval]))", "refused"),
            lines("sum(rate(otelcol_exporter_sent_spans_total[$__rate_interval]))", "stored"),
            lines("sum(rate(otelcol_exporter_send_failed_spans_total[$__rate_interval]))", "lost"),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Writing to Elasticsearch",
            "Does Jaeger's storage keep up?",
            lines("sum(rate(jaeger_storage_bulk_index_inserts_total[$__rate_interval]))", "written"),
            lines("sum(rate(jaeger_storage_bulk_index_errors_total[$__rate_interval]))", "failed"),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Calls by service",
            "What do the spans tell of?",
            lines(
                "sum by (service_name, span_kind) (rate(traces_span_metrics_calls_total[$__rate_interval]))",
                "{{service_name}} {{span_kind}}",
            ),
            unit=PER_SECOND,
            width=THIRD,
        ),
    ],
)

_SEARCH = Section(
    "Elasticsearch",
    [
        series(
            "Heap of Elasticsearch",
            "Is it short of memory?",
            lines(
                'max by (name) (elasticsearch_jvm_memory_used_bytes{area="heap"}'
                ' / elasticsearch_jvm_memory_max_bytes{area="heap"})',
                "{{name}}",
            ),
            unit=RATIO,
            limits=limits("ElasticsearchHeapHigh"),
            alerts=["ElasticsearchHeapHigh"],
            top=1,
            width=THIRD,
        ),
        series(
            "Space left on disk",
            "How much can still be kept?",
            lines("min by (name) (elasticsearch_filesystem_data_available_bytes)", "{{name}}"),
            unit=BYTES,
            limits=limits("ElasticsearchDiskLow"),
            alerts=["ElasticsearchDiskLow"],
            width=THIRD,
        ),
        series(
            "Documents written",
            "How many log lines and spans come in?",
            lines(
                "sum(rate(elasticsearch_indices_indexing_index_total[$__rate_interval]))", "documents", scraped=SELDOM
            ),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Time of a search",
            "Is it fast to ask?",
            lines(
                "sum(rate(elasticsearch_indices_search_query_time_seconds[5m]))"
                " / (sum(rate(elasticsearch_indices_search_query_total[5m])) > 0)",
                "average",
            ),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Collecting garbage",
            "Does it spend its time on its own memory?",
            lines(
                "sum by (gc) (rate(elasticsearch_jvm_gc_collection_seconds_sum[$__rate_interval]))",
                "{{gc}}",
                scraped=SELDOM,
            ),
            unit=RATIO,
            width=THIRD,
        ),
        series(
            "Size of what is kept",
            "How much do log lines and spans need?",
            lines("sum(elasticsearch_indices_store_size_bytes)", "all indices"),
            unit=BYTES,
            width=THIRD,
        ),
    ],
)

_LOGSTASH = Section(
    "Logstash",
    [
        series(
            "Lines read and delivered",
            "Does it keep up?",
            lines("sum(rate(logstash_events_in_total[$__rate_interval]))", "read", scraped=SELDOM),
            lines("sum(rate(logstash_events_out_total[$__rate_interval]))", "delivered", scraped=SELDOM),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Waiting and refused",
            "Does Elasticsearch take what it is given?",
            lines("max(logstash_pipeline_queue_bytes)", "waits on disk"),
            lines("max(logstash_pipeline_dead_letter_bytes)", "refused"),
            unit=BYTES,
            limits=[*limits("LogstashQueueBackingUp"), *limits("LogstashDeadLettersGrowing")],
            alerts=["LogstashQueueBackingUp", "LogstashDeadLettersGrowing"],
            width=THIRD,
        ),
        series(
            "Heap of Logstash",
            "Is it short of memory?",
            lines("max(logstash_jvm_heap_used_bytes / logstash_jvm_heap_max_bytes)", "in use"),
            unit=RATIO,
            top=1,
            width=THIRD,
        ),
    ],
)

_LOG_ALERTS = Section(
    "Patterns in the log lines",
    [
        series(
            "Looks",
            "Is every pattern looked for?",
            lines("sum by (rule_name) (rate(elastalert_scrapes_total[$__rate_interval]))", "{{rule_name}}"),
            unit=PER_SECOND,
            alerts=["LogAlertsStalled"],
            width=THIRD,
        ),
        series(
            "Lines that fit",
            "Which pattern finds something?",
            lines("sum by (rule_name) (rate(elastalert_hits_total[$__rate_interval]))", "{{rule_name}}"),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Failures in 10 minutes",
            "Do its looks and its messages get through?",
            lines("sum(increase(elastalert_errors_total[10m]))", "failed"),
            limits=limits("LogAlertsFailing"),
            alerts=["LogAlertsFailing"],
            width=THIRD,
        ),
    ],
)

_VALKEY = Section(
    "Valkey",
    [
        series(
            "Memory of Valkey",
            "Is there room for more tasks? At its limit it takes none.",
            lines("max(redis_memory_used_bytes)", "in use"),
            lines("max(redis_memory_max_bytes)", "limit"),
            unit=BYTES,
            alerts=["ValkeyMemoryHigh"],
            width=THIRD,
        ),
        series(
            "Commands",
            "How much is it asked?",
            lines("sum by (cmd) (rate(redis_commands_total[$__rate_interval])) > 0", "{{cmd}}"),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Time of a command",
            "Is it fast to ask?",
            lines(
                "sum(rate(redis_commands_duration_seconds_total[$__rate_interval]))"
                " / sum(rate(redis_commands_total[$__rate_interval]))",
                "average",
            ),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Clients",
            "Does somebody leave connections open?",
            lines("max(redis_connected_clients)", "connected"),
            lines("max(redis_blocked_clients)", "waiting for work"),
            lines("sum(increase(redis_rejected_connections_total[5m]))", "refused in 5 minutes"),
            width=THIRD,
        ),
        series(
            "Network",
            "How much comes and goes?",
            lines("sum(rate(redis_net_input_bytes_total[$__rate_interval]))", "received"),
            lines("sum(rate(redis_net_output_bytes_total[$__rate_interval]))", "sent"),
            unit=BYTES_PER_SECOND,
            width=THIRD,
        ),
        states(
            "Its file",
            "Would tasks survive if it ended now?",
            lines("min(redis_aof_last_write_status)", "writing"),
            lines("min(redis_aof_last_bgrewrite_status)", "tidying"),
            alerts=["ValkeyPersistenceFailing"],
            words={"0": ("failed", "red"), "1": ("ok", "green")},
            width=THIRD,
        ),
    ],
)

_MACHINE = Section("The machine (with the profile `host`)", machine.panels())

_GRAFANA = Section(
    "Grafana",
    [
        series(
            "Answer time, 95th percentile",
            "Is it fast to look at?",
            lines(
                "histogram_quantile(0.95, sum by (le) (rate(grafana_http_request_duration_seconds_bucket"
                "[$__rate_interval])))",
                "p95",
            ),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Questions to the sources",
            "Which source does it ask, and does it get answers?",
            lines(
                "sum by (datasource, code) (rate(grafana_datasource_request_total[$__rate_interval]))",
                "{{datasource}} {{code}}",
            ),
            unit=PER_SECOND,
            width=THIRD,
        ),
    ],
)

BOARD = Board(
    uid="stack",
    title="The stack itself",
    description="The stack watching itself: whether what is seen on the other dashboards can be believed.",
    sections=(_FINE, _TARGETS, _PROMETHEUS, _TRACES, _SEARCH, _LOGSTASH, _LOG_ALERTS, _VALKEY, _GRAFANA, _MACHINE),
)

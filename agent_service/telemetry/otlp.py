"""Writes spans as OTLP several times as fast as the exporter's own encoder, which costs more than making the spans.

Only what nearly all spans consist of is written here. Spans with events, links, a trace state or unusual attributes,
and all resources and scopes, are left to the library: protobuf joins messages that are put one behind the other.

Source: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto and
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import logging
import struct
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

logger = logging.getLogger(__name__)

_TIMES = struct.Struct("<BQBQ")
_FLAGS = struct.Struct("<HI")
_KINDS_OF_VALUES = (str, bool, int)
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
_ANY_CONTEXT = SpanContext(trace_id=1, span_id=1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class EncodedSpan(ReadableSpan):
    """A span that another process has made and written already."""

    def __init__(self, encoded: bytes) -> None:
        """Wrap what `encode` returned there."""
        # The library would describe this process anew for each span, which takes longer than all the rest.
        self._context = _ANY_CONTEXT
        self.encoded = encoded


class FastSpanExporter(OTLPSpanExporter):
    """The library's exporter with this encoder."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        if self._shutdown:
            return SpanExportResult.FAILURE
        data = [span.encoded for span in spans if isinstance(span, EncodedSpan)]
        data.append(encode([span for span in spans if not isinstance(span, EncodedSpan)]))
        return SpanExportResult.SUCCESS if self._client.export(b"".join(data)).success else SpanExportResult.FAILURE


def encode(spans: Sequence[ReadableSpan]) -> bytes:
    """Return an `ExportTraceServiceRequest` with the spans; what is unknown here the library writes."""
    try:
        return _encode(spans)
    except Exception as error:  # noqa: BLE001 - whatever it is, the library may know how to write it
        logger.debug("spans are written the slow way: %s", error)
        return bytes(encode_spans(spans).SerializeToString())


def _encode(spans: Sequence[ReadableSpan]) -> bytes:
    usual: defaultdict[tuple[int, int], list[ReadableSpan]] = defaultdict(list)
    unusual = []
    for span in spans:
        if _is_usual(span):
            usual[id(span.resource), id(span.instrumentation_scope)].append(span)
        else:
            unusual.append(span)
    parts = [_resource_spans(group) for group in usual.values()]
    if unusual:
        parts.append(encode_spans(unusual).SerializeToString())
    return b"".join(parts)


def _is_usual(span: ReadableSpan) -> bool:
    context = span.get_span_context()
    if context is None or context.trace_state or span.events or span.links or span.dropped_attributes:
        return False
    return all(isinstance(value, _KINDS_OF_VALUES) for value in (span.attributes or {}).values())


def _resource_spans(spans: Sequence[ReadableSpan]) -> bytes:
    """Return a `resource_spans` field with spans of one resource and one scope."""
    first = spans[0]
    resource, scope = _frame(first.resource, first.instrumentation_scope)
    scope_spans = b"".join([scope, *map(_span, spans)])
    return _field(b"\x0a", b"".join((resource, _field(b"\x12", scope_spans))))


def _frame(resource: Resource, scope: InstrumentationScope | None) -> tuple[bytes, bytes]:
    """Return what stands before the spans: the fields `resource` and `scope`, as the library writes them."""
    known = _frames.get((id(resource), id(scope)))
    if known is None:
        whole = encode_spans([ReadableSpan("frame", _ANY_CONTEXT, resource=resource, instrumentation_scope=scope)])
        found = whole.resource_spans[0]
        written = (
            _field(b"\x0a", found.resource.SerializeToString()),
            _field(b"\x0a", found.scope_spans[0].scope.SerializeToString()),
        )
        known = _frames[id(resource), id(scope)] = (written, resource, scope)
    return known[0]


_frames: dict[tuple[int, int], tuple[tuple[bytes, bytes], Resource, InstrumentationScope | None]] = {}
"""By the two's identity, since hashing a resource is slow; holding them keeps their identity theirs."""


def _span(span: ReadableSpan) -> bytes:
    """Return a `spans` field; the bytes before each value are its field's number and type."""
    context, parent, status = span.get_span_context(), span.parent, span.status
    flags = _HAS_IS_REMOTE | (_IS_REMOTE if parent and parent.is_remote else 0)
    parts = [
        b"\x0a\x10" + context.trace_id.to_bytes(16, "big"),  # type: ignore[union-attr]
        b"\x12\x08" + context.span_id.to_bytes(8, "big"),  # type: ignore[union-attr]
        b"\x22\x08" + parent.span_id.to_bytes(8, "big") if parent else b"",
        _text(b"\x2a", span.name),
        bytes((0x30, span.kind.value + 1)),
        _TIMES.pack(0x39, span.start_time or 0, 0x41, span.end_time or 0),
        *(_attribute(key, value) for key, value in (span.attributes or {}).items()),  # type: ignore[arg-type]
    ]
    described = _text(b"\x12", status.description) if status.description else b""
    code = bytes((0x18, status.status_code.value)) if status.status_code.value else b""
    parts.append(_field(b"\x7a", described + code))
    parts.append(_FLAGS.pack(0x0185, flags))
    return _field(b"\x12", b"".join(parts))


def _attribute(key: str, value: str | bool | int) -> bytes:
    if isinstance(value, str):
        any_value = _text(b"\x0a", value)
    elif isinstance(value, bool):
        any_value = b"\x10\x01" if value else b"\x10\x00"
    else:
        any_value = b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF)
    return _field(b"\x4a", _key(key) + _field(b"\x12", any_value))


@lru_cache(maxsize=1024)
def _key(key: str) -> bytes:
    return _text(b"\x0a", key)


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace"))


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    if number < 0x80:
        return _SMALL[number]
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


_SMALL = [bytes((number,)) for number in range(0x80)]

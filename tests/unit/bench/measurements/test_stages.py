"""The bench computes the mean times of stages from the spans that a system sends."""

import http.client

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from bench.load.verifier import Faults
from bench.measurements.stages import STAGES, StageSpan, receiving, stage_means
from bench.report.table import table
from tests.support.waiting import WAIT_SECONDS
from tests.unit.bench.report.samples import sample

MS = 1_000_000


def way(start: int, commit_ms: int) -> list[StageSpan]:
    """Returns sample spans of one request. Its commit is linked to this request and to another one."""
    key = str(start).encode()
    post, requested, received, commit, fan_out, delivery = (key + name for name in (b"p", b"a", b"r", b"c", b"f", b"d"))
    begins = start + 2 * MS
    ends = begins + commit_ms * MS
    return [
        StageSpan("deliver", delivery, fan_out, (), ends + 5 * MS, ends + 6 * MS),
        StageSpan("post", post, b"", (), start, ends + 9 * MS, waited=3 * MS),
        StageSpan("message.post", requested, post, (), start, ends + 9 * MS),
        StageSpan("message.post", received, requested, (), start + MS, ends + 4 * MS),
        StageSpan("commit", commit, b"", (received, b"other"), begins, ends),
        StageSpan("database write", b"w" + key, commit, (), begins, ends),
        StageSpan("fan out", fan_out, commit, (), ends + 2 * MS, ends + 4 * MS),
    ]


def test_each_stage_has_its_mean_time() -> None:
    means = stage_means([*way(10 * MS, commit_ms=4), *way(50 * MS, commit_ms=8)], seconds=1.0)
    assert means == dict(zip(STAGES, (3.0, 1.0, 1.0, 6.0, 2.0, 2.0, 1.0, 1.0), strict=True))


def test_requests_before_the_measurement_and_incomplete_ones_do_not_count() -> None:
    late = way(100_000 * MS, commit_ms=4)
    assert stage_means([*way(10 * MS, commit_ms=90), *late], seconds=1.0)["commit"] == 4.0
    assert stage_means([span for span in late if span.name != "fan out"], seconds=1.0) == {}
    assert stage_means([], seconds=1.0) == {}


def test_spans_are_received() -> None:
    span = Span(name="post", span_id=b"1", parent_span_id=b"2", start_time_unix_nano=5, end_time_unix_nano=7)
    span.links.add(span_id=b"3")
    span.attributes.add(key="waited_us").value.int_value = 4
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    with receiving() as receiver:
        connection = http.client.HTTPConnection(receiver.endpoint.removeprefix("http://"), timeout=WAIT_SECONDS)
        connection.request("POST", "/v1/traces", request.SerializeToString())
        assert connection.getresponse().status == 200
        connection.close()
    assert receiver.spans == [StageSpan("post", b"1", b"2", (b"3",), 5, 7, 4000)]


def test_stages_are_drawn_one_after_the_other() -> None:
    result = sample(Faults(), passed=True)
    result.stages = {"queue": 1.0, "commit": 3.0}
    lines = table(result).splitlines()
    assert "  queue                         1.000 |############                                      |" in lines
    assert "  commit                        3.000 |            ######################################|" in lines

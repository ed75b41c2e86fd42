"""Stages of a request, read from the service's metrics."""

from __future__ import annotations

from benchmarks.serving.stages import WHOLE, Spent, added, read_stages, since, us_per_request

METRICS = """\
# TYPE leads_stage_seconds histogram
leads_stage_seconds_sum{{stage="lookup"}} {0}
leads_stage_seconds_count{{stage="lookup"}} {1}
leads_http_request_seconds_sum{{route="/v1/score"}} 4.0
leads_http_request_seconds_count{{route="/v1/score"}} 2.0
leads_http_request_seconds_count{{route="/v1/leads"}} 9.0
"""


def test_stages_are_what_was_spent_in_between() -> None:
    before, after = (read_stages(METRICS.format(seconds, calls)) for seconds, calls in ((1.0, 10), (1.5, 30)))
    assert after == {"lookup": Spent(1.5, 30), WHOLE: Spent(4.0, 2.0)}
    spent = since(before, after)
    assert us_per_request(added(spent, spent), 40) == {"lookup": 25_000.0}
    assert read_stages("") == {}

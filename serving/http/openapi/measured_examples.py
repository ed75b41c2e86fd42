"""The response examples of the routes of what monitoring measured."""

from __future__ import annotations

from typing import Any

from leads_client.schemas.measured import MetricsOut, MonitoringSummaryOut, MonitorRunsOut

# Where a page that ends with the value below ends.
METRICS_CURSOR = (
    "WyJtMSIsMTc3MjM2NjQwMDAwMDAwMCwic3BhbSIsInBlcmZvcm1hbmNlLnByZWNpc2lvbiIsIiIsIjMiLDE3NzE3NjE2MDAwMDAwMDBd"
)
_AT = "2026-03-01T12:00:00Z"
_PRECISION = {
    "name": "performance.precision",
    "harm": "spam",
    "version": "3",
    "slice": {},
    "since": "2026-02-22T12:00:00Z",
    "until": _AT,
    "value": 0.84,
    "lo": 0.78,
    "hi": 0.89,
    "n": 212,
    "method": "clopper-pearson",
}
_DRIFT = {
    "name": "drift.input",
    "harm": "spam",
    "version": "3",
    "slice": {"against": "reference", "column": "account.plays_24h"},
    "since": "2026-02-28T12:00:00Z",
    "until": _AT,
    "value": 0.31,
    "lo": 0.16,
    "hi": None,
    "n": 1_840,
    "method": "wasserstein",
}
_RUN = {
    "id": "9c1d5f0e7a3b4c2d8e6f1a0b2c3d4e5f",
    "host": "5f0c2a9e8d1b4c77",
    "state": "done",
    "startedAt": "2026-03-01T12:05:00Z",
    "finishedAt": "2026-03-01T12:05:09Z",
    "until": _AT,
    "notes": ["spam: 3 predictions dated in the future left out; a host's clock is wrong."],
}
RESPONSES: dict[type, dict[str, Any]] = {
    MetricsOut: {
        "A harm's precision, and the drift of an input": {
            "metrics": [_DRIFT, _PRECISION],
            "nextCursor": METRICS_CURSOR,
        }
    },
    MonitorRunsOut: {"One run": {"runs": [_RUN]}},
    MonitoringSummaryOut: {
        "One harm, whose predictions have drifted": {
            "at": "2026-03-01T12:10:00Z",
            "run": _RUN,
            "platformAlerts": {"page": 0, "digest": 0},
            "harms": [
                {
                    "harm": "spam",
                    "verdict": "drifted",
                    "verdictUntil": _AT,
                    "alerts": {"page": 0, "digest": 2},
                    "figures": [_PRECISION],
                }
            ],
        }
    },
}

"""The measures of a run that never took place."""

from __future__ import annotations

from benchmarks.report import Measure, at_least, at_most

MEASURES = [
    Measure("100,000 events: appended", 30_000.0, "events/s"),
    at_least("100,000 events: folded", 16_000.0, "events/s", 12_000),
    Measure("100,000 events: folded, one of 64 partitions", 50_000.0, "events/s"),
    Measure("1,000,000 events: appended", 25_000.0, "events/s"),
    at_least("1,000,000 events: folded", 15_000.0, "events/s", 12_000),
    at_most("1,000,000 events: memory while folding", 400.0, "MB", 1_024),
    Measure("1,000,000 events: disk", 600.0, "bytes/event"),
    Measure("1,000,000 events: time to join frames", 8.0, "s"),
    at_least("1,000,000 events: log → online with scoring", 2_500.0, "events/s", 2_000),
    Measure("1,000,000 events: subjects scored", 0.5, "subjects/event"),
    Measure("1,000,000 events: prediction log", 100.0, "bytes/subject scored"),
    at_most("1,000,000 events: memory while scoring", 300.0, "MB", 1_024),
    Measure("1,000,000 items: state", 350.0, "bytes/item"),
    Measure("1,000,000 items: online store", 430.0, "bytes/item"),
    at_most("SQLite, 10,000 leads: claim of 10, p50", 2.0, "ms", 10),
    at_most("event log: cost of folding an event, exponent", 0.15, "", 0.1),
]

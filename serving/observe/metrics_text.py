"""The response to a scrape: this process's metrics, or the sum over all processes of the instance."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from serving.observe.metrics_files import settled

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample

# Series of these metrics are omitted while they are 0; otherwise every past version would remain forever.
_OMIT_ZEROS = frozenset(("leads_model_version",))


def text_of(registry: CollectorRegistry, harms: Collection[str] | None = None) -> bytes:
    """The metrics of `registry` in Prometheus' text format; with several processes, summed over their files.

    Args:
        harms: leave out the series of all other harms; None: none.
    """
    from prometheus_client import CollectorRegistry, generate_latest, multiprocess

    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return generate_latest(_Shown(registry, harms))
    merged = CollectorRegistry()
    multiprocess.MultiProcessCollector(merged, path=folder)  # type: ignore[no-untyped-call]
    with settled(Path(folder)):
        return generate_latest(_Shown(merged, harms))


class _Shown:
    """The series to show: of some harms only, and without zeros where those mean nothing."""

    def __init__(self, inner: Collector, harms: Collection[str] | None) -> None:
        self._inner = inner
        self._harms = harms

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            metric.samples = [x for x in metric.samples if self._shows(metric.name, x)]
            yield metric

    def _shows(self, name: str, sample: Sample) -> bool:
        harm = sample.labels.get("harm")
        if harm is not None and self._harms is not None and harm not in self._harms:
            return False
        return bool(sample.value) or name not in _OMIT_ZEROS

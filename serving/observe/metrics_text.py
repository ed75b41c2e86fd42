"""What a scrape answers: this process's metrics, or the sum over all processes of the instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

# Series of these are left out while they are 0: their labels grow with time, and none is needed for what is gone.
_ONLY_WHILE_SET = frozenset(("leads_model_version",))


def text_of(registry: CollectorRegistry) -> bytes:
    """Prometheus' text format of `registry`; with several processes, of the files in which each keeps its values."""
    from prometheus_client import CollectorRegistry, generate_latest, multiprocess

    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return generate_latest(_Shown(registry))
    _forget_dead(Path(folder))
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(_Shown(together))


class _Shown:
    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            if metric.name in _ONLY_WHILE_SET:
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric


def _forget_dead(folder: Path) -> None:
    """Drop the gauges of processes that ended: BentoML starts a worker that died again, under another number."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and not _lives(int(pid)):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

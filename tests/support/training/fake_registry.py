"""A registry in memory over real version folders, which can fail at any call; and small real versions for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from msgspec.structs import replace

from leads.errors import ModelRefused, Unavailable
from models import manifest
from models.registry.versions import Registered, VersionNote, no_such_version
from models.thresholds import Thresholds
from models.write import Parts, write_version
from training.fit.calibrate import fit_calibrator

N = 600


def draw_rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 1) features, and labels that depend on them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(N, 1)).astype(np.float32)
    return x, x[:, 0] + random.normal(size=N) > 0.5


def write_model(folder: Path, harm: str, contract: Any, *, skilled: bool, bold: bool = False) -> None:
    """Write a version trained on such rows, or on shuffled labels. The scores of a `bold` one are far too high."""
    x, labels = draw_rows(seed=1)
    learned = labels if skilled else np.random.default_rng(2).permutation(labels)
    matrix = xgboost.DMatrix(x, label=learned, base_margin=np.zeros(N), feature_names=list(contract.names))
    params = {"objective": "binary:logistic", "nthread": 1, "max_depth": 2, "eta": 0.3, "seed": 1}
    booster = xgboost.train(params, matrix, 12)
    other, truth = draw_rows(seed=3)
    margins = booster.inplace_predict(other, predict_type="margin", base_margin=np.zeros(N)).astype(np.float64)
    calibrator = fit_calibrator(margins, truth, np.arange(N) % 5)
    if bold:
        calibrator = replace(calibrator, log_odds=tuple(each + 2 for each in calibrator.log_odds))
    write_version(
        folder,
        Parts(
            harm=harm,
            contract=contract,
            booster=booster,
            text_stage=None,
            prior_log_odds=0.0,
            calibrator=calibrator,
            thresholds=Thresholds(review=None, auto=None, why={}),
            reference=x,
            reference_labels=labels.tolist(),
            metrics=b'{"test":{"ap":0.5,"brier":0.1},"ap_interval":{"found":0.5,"low":0.4,"high":0.6}}',
            card="# A version\n",
        ),
    )


class FakeRegistry:
    """A `VersionRegistry` in memory."""

    def __init__(self, skilled: Path, blind: Path) -> None:
        self.folders: dict[str, Path] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.by_alias: dict[str, str] = {}
        self.harm_tags: dict[str, str] = {}
        self.notes: dict[str, VersionNote] = {}
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda call: None
        self.after: Callable[[str], None] = lambda call: None
        self._folders_by_skill = {True: skilled, False: blind}

    def add(self, *, skilled: bool = True) -> str:
        """Register another version; returns its number."""
        number = str(len(self.folders) + 1)
        self.folders[number], self.tags[number] = self._folders_by_skill[skilled], {}
        return number

    def spoil(self, number: str) -> None:
        """Remove the version's artifacts."""
        self.folders[number] = Path("/nowhere")

    def aliases(self, harm: str) -> dict[str, str]:
        return dict(self.by_alias)

    def version(self, harm: str, number: str) -> Registered:
        if number not in self.folders:
            raise no_such_version(harm, number)
        return Registered(number, "run", 0, self.tags[number], {})

    def tags_of(self, harm: str, version: str) -> dict[str, str]:
        return self.tags[version]

    def versions(self, harm: str) -> list[Registered]:
        return [self.version(harm, number) for number in sorted(self.folders, key=int, reverse=True)]

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        if version not in self.folders:
            raise no_such_version(harm, version)
        if not self.folders[version].is_dir():
            raise ModelRefused("The artifacts can't be read.")
        shutil.copytree(self.folders[version], into / version)
        (into / version / manifest.VERSION).write_text(version)
        return into / version

    def set_alias(self, harm: str, alias: str, version: str) -> None:
        self._changing("set_alias", lambda: self.by_alias.update({alias: version}))

    def drop_alias(self, harm: str, alias: str) -> None:
        self._changing("drop_alias", lambda: self.by_alias.pop(alias, None))

    def tag(self, harm: str, version: str, name: str, value: str) -> None:
        self._changing("tag", lambda: self.tags[version].update({name: value}))

    def annotate(self, harm: str, version: str, note: VersionNote) -> None:
        self.notes[self.version(harm, version).version] = note
        self._changing("annotate", lambda: self.tags[version].update(note.tags))

    def tag_harm(self, harm: str, tags: Mapping[str, str | None]) -> None:
        def change() -> None:
            self.harm_tags = {name: value for name, value in {**self.harm_tags, **tags}.items() if value is not None}

        self._changing("tag_harm", change)

    def _changing(self, call: str, change: Callable[[], object]) -> None:
        self.before(call)
        change()
        self.calls.append(call)
        self.after(call)


def fails(on: str) -> Callable[[str], None]:
    """A hook that raises when called for `on`, as a registry that goes down at that moment."""

    def check(call: str) -> None:
        if call == on:
            raise Unavailable("MLflow doesn't answer.")

    return check

"""The features that every platform has, as `features.yaml` declares them."""

from __future__ import annotations

from pathlib import Path

from leads.platform.features import FeatureDeclarations
from leads.yaml_files import Strict, read_yaml


class _File(Strict):
    features: FeatureDeclarations


BUILT_IN_FEATURES: FeatureDeclarations = read_yaml(
    Path(__file__).parent / "features.yaml", _File, remedy="Install the package again."
).features

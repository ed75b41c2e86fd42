"""Find the feature contracts under which logged predictions were made."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from features.contract import FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import unsatisfied
from features.links import Links
from leads.errors import LeadsError, ModelRefused
from leads.settings import Settings
from models import manifest
from models.registry.versions import VersionReader, versions_cache
from monitoring.skew.rederive import view_of


class Contracts:
    """Contracts by harm and version, from the versions published here or else from the registry."""

    def __init__(self, settings: Settings, registry: VersionReader | None, features: FeatureSet = BUILTIN) -> None:
        self._settings = settings
        self._features = features
        self._registry = registry
        self._folders: dict[tuple[str, str], Path | str] = {}

    def of(self, harm: str, version: str, table: pa.Table) -> FeatureContract | str:
        """The contract of predictions grouped by `by_version`, or a text that says why they can't be re-derived."""
        folder = self._folder(harm, version)
        if isinstance(folder, str):
            return folder
        try:
            contract = FeatureContract.from_json(manifest.read_file(folder, manifest.CONTRACT))
            inputs = len(manifest.read_manifest(folder).input_names)
        except ModelRefused as error:
            return error.message
        return _mismatch(contract, inputs, table, self._features) or contract

    def _folder(self, harm: str, version: str) -> Path | str:
        key = (harm, version)
        if key not in self._folders:
            self._folders[key] = self._find(harm, version)
        return self._folders[key]

    def _find(self, harm: str, version: str) -> Path | str:
        published = self._settings.published_dir / harm / version
        if published.is_dir():
            return published
        if self._registry is None:
            from models.registry.mlflow_registry import MlflowRegistry

            self._registry = MlflowRegistry(self._settings)
        try:
            return self._registry.fetch(harm, version, versions_cache(self._settings, harm))
        except LeadsError as error:
            return f"the version can't be found: {error.message}"


def _mismatch(contract: FeatureContract, inputs: int, table: pa.Table, features: FeatureSet) -> str | None:
    """Why the predictions can't be re-derived under the contract; None if they can."""
    first = table.slice(0, 1).to_pylist()[0]
    if contract.hash != first["contract_hash"]:
        return f"they were made under contract {first['contract_hash']}, but the version has contract {contract.hash}"
    reason = unsatisfied(contract, features)
    if reason:
        return reason
    logged = (len(first["vector"]), len(first["links"]))
    expected = (inputs, len(Links._fields))
    if logged != expected:
        return f"{logged} inputs and links were logged, but the version has {expected}"
    if first["row_roles"] is not None:
        return None
    if len(first["row_at"]) < len(BUILTIN.roles):
        return f"the times of {len(first['row_at'])} rows were logged, but there are {len(BUILTIN.roles)}"
    keys = {view_of(name, features) for name in contract.names} - {None, *(one.view for one in BUILTIN.layouts)}
    if len(first["row_at"]) != len(features.roles) and keys:
        read = ", ".join(sorted(map(str, keys)))
        return f"they were made when other keys or views were declared than today, and the version reads rows of {read}"
    return None

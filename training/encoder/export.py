"""Exports a fine-tuned network to ONNX, with weights of 8 bits or of 32."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import torch

from models.text.encoder_files import Precision
from models.text.tuned import IDS, OUTPUTS
from training.encoder.network import Network, OneText

_OPSET = 17


def to_onnx(network: Network, precision: Precision) -> bytes:
    """The network in ONNX's format, which takes one text of any length."""
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "network.onnx", Path(folder) / "small.onnx"
        with warnings.catch_warnings():
            # The exporter that needs no further package is announced to be replaced.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                OneText(network.cpu()),
                (torch.ones(8, dtype=torch.int64),),
                str(path),
                input_names=[IDS],
                output_names=[OUTPUTS],
                dynamic_axes={IDS: {0: "length"}},
                opset_version=_OPSET,
                dynamo=False,
            )
            if precision == "float32":
                return path.read_bytes()
            from onnxruntime.quantization import QuantType, quantize_dynamic

            root = logging.getLogger()
            root.addFilter(_is_no_advice)
            try:
                quantize_dynamic(str(path), str(small), weight_type=QuantType.QInt8, per_channel=True)
            finally:
                root.removeFilter(_is_no_advice)
        return small.read_bytes()


def _is_no_advice(record: logging.LogRecord) -> bool:
    """False for the advice to optimise the network first, which loading it does."""
    return "pre-processing before quantization" not in record.getMessage()

"""Compress a trained factorization machine into one file of a given size.

import fmcompress as fc

checkpoint = fc.load_checkpoint("fm.pt")
model = fc.quantize(checkpoint, "10MB", train="train.parquet", valid="valid.parquet")
model.save("artifact.safetensors")
fc.load("artifact.safetensors").predict(ids)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmcompress.errors import missing_packages_named
from fmcompress.version import __version__

if TYPE_CHECKING:
    from fmcompress.api import evaluate as evaluate
    from fmcompress.api import quantize as quantize
    from fmcompress.checkpoints import FMCheckpoint as FMCheckpoint
    from fmcompress.checkpoints import load_checkpoint as load_checkpoint
    from fmcompress.checkpoints import save_checkpoint as save_checkpoint
    from fmcompress.data.vocabulary_file import read_vocabulary as read_vocabulary
    from fmcompress.errors import ArtifactError as ArtifactError
    from fmcompress.errors import BudgetError as BudgetError
    from fmcompress.errors import CheckpointError as CheckpointError
    from fmcompress.errors import DataError as DataError
    from fmcompress.errors import DependencyError as DependencyError
    from fmcompress.errors import FMCompressError as FMCompressError
    from fmcompress.errors import FMCompressWarning as FMCompressWarning
    from fmcompress.errors import OutputError as OutputError
    from fmcompress.errors import StateError as StateError
    from fmcompress.errors import UsageError as UsageError
    from fmcompress.evaluation.scores import Scores as Scores
    from fmcompress.export.onnx_file import export_onnx as export_onnx
    from fmcompress.finetune.options import MovingOptions as MovingOptions
    from fmcompress.finetune.options import ReassignOptions as ReassignOptions
    from fmcompress.finetune.options import TuneOptions as TuneOptions
    from fmcompress.fm.bags import Bag as Bag
    from fmcompress.fm.field_keys import FieldKeys as FieldKeys
    from fmcompress.fm.field_specs import parse_fields as parse_fields
    from fmcompress.fm.field_vocabulary import FieldVocabulary as FieldVocabulary
    from fmcompress.fm.hashed_keys import HashedKeys as HashedKeys
    from fmcompress.fm.hashed_keys import key_order as key_order
    from fmcompress.fm.numeric_weights import NumericWeights as NumericWeights
    from fmcompress.fm.pooling import Pooling as Pooling
    from fmcompress.fm.schema import Field as Field
    from fmcompress.fm.schema import NumericField as NumericField
    from fmcompress.fm.schema import Schema as Schema
    from fmcompress.fm.schema import SharedField as SharedField
    from fmcompress.fm.vocabulary import Vocabulary as Vocabulary
    from fmcompress.gates import Verdict as Verdict
    from fmcompress.gates import check as check
    from fmcompress.methods.auto.method import Auto as Auto
    from fmcompress.methods.lightfm.method import LightFM as LightFM
    from fmcompress.methods.xlightfm.method import XLightFM as XLightFM
    from fmcompress.methods.xlightfm.options import SearchOptions as SearchOptions
    from fmcompress.methods.xlightfm.options import SpaceOptions as SpaceOptions
    from fmcompress.reporting import Report as Report
    from fmcompress.reporting import TablesReport as TablesReport
    from fmcompress.reporting import report as report
    from fmcompress.reporting.compare import compare as compare
    from fmcompress.reporting.comparison import Comparison as Comparison
    from fmcompress.reporting.curve import Curve as Curve
    from fmcompress.serve.compressed_fm import CompressedFM as CompressedFM
    from fmcompress.serve.compressed_fm import load as load
    from fmcompress.serve.compressed_tables import CompressedTables as CompressedTables
    from fmcompress.serve.vector_table import VectorTable as VectorTable
    from fmcompress.sweeping.sweep import sweep as sweep
    from fmcompress.tables import EmbeddingTables as EmbeddingTables
    from fmcompress.tables import load_tables as load_tables
    from fmcompress.tables import quantize_tables as quantize_tables

# The public names of each module: each is imported when it is first used, so that reading a report needs no torch.
_NAMES = {
    "api": "evaluate quantize",
    "checkpoints": "FMCheckpoint load_checkpoint save_checkpoint",
    "data.vocabulary_file": "read_vocabulary",
    "errors": (
        "ArtifactError BudgetError CheckpointError DataError DependencyError FMCompressError FMCompressWarning "
        "OutputError StateError UsageError"
    ),
    "evaluation.scores": "Scores",
    "export.onnx_file": "export_onnx",
    "finetune.options": "MovingOptions ReassignOptions TuneOptions",
    "fm.bags": "Bag",
    "fm.field_keys": "FieldKeys",
    "fm.field_specs": "parse_fields",
    "fm.field_vocabulary": "FieldVocabulary",
    "fm.hashed_keys": "HashedKeys key_order",
    "fm.numeric_weights": "NumericWeights",
    "fm.pooling": "Pooling",
    "fm.schema": "Field NumericField Schema SharedField",
    "fm.vocabulary": "Vocabulary",
    "gates": "Verdict check",
    "methods.auto.method": "Auto",
    "methods.lightfm.method": "LightFM",
    "methods.xlightfm.method": "XLightFM",
    "methods.xlightfm.options": "SearchOptions SpaceOptions",
    "reporting": "Report TablesReport report",
    "reporting.compare": "compare",
    "reporting.comparison": "Comparison",
    "reporting.curve": "Curve",
    "serve.compressed_fm": "CompressedFM load",
    "serve.compressed_tables": "CompressedTables",
    "serve.vector_table": "VectorTable",
    "sweeping.sweep": "sweep",
    "tables": "EmbeddingTables load_tables quantize_tables",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604 -- the names are the table's


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fmcompress' has no attribute {name!r}")
    with missing_packages_named():
        return getattr(import_module(f"fmcompress.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)

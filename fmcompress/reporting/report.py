"""The memory report of an artifact, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcompress.artifact import Header, PackedFM, Quality, read_artifact
from fmcompress.artifact.header import BIAS_BYTES, tier_bytes
from fmcompress.fm.links import parse_link
from fmcompress.fm.quantizer import Quantizer
from fmcompress.reporting.fields import FLOAT_BYTES, FieldReport, field_reports
from fmcompress.reporting.paper import MIB, paper_params_mib
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.serve.memory import resident_bytes

if TYPE_CHECKING:
    from fmcompress.reporting.curve import Curve

TOP = 20
"""Fields that Markdown and pictures show: the largest ones."""

PARTS = {
    "codes_bytes": "codes",
    "codebook_bytes": "codebooks",
    "raw_bytes": "raw embeddings",
    "linear_bytes": "linear part and bias",
    "numeric_bytes": "numeric fields",
    "vocabulary_bytes": "vocabulary",
    "header_bytes": "header",
}
"""Figures of the parts of a file, and what the parts are called."""

_DECIMALS = 5
"""Of LogLoss, as it is written in the header: a difference of two has no more."""


@dataclass(frozen=True)
class Report:
    """The memory report of an artifact.

    Attributes:
        file_bytes: size of the file.
        budget_bytes: size that was asked for.
        header_bytes: of the file, the header.
        codes_bytes: of the file, the embeddings' codes.
        codebook_bytes: of the file, the embeddings' codebooks.
        raw_bytes: of the file, raw embeddings of categories.
        linear_bytes: of the file, the linear part of categories; with the bias.
        source_fp32_bytes: embeddings and linear weights of the checkpoint in fp32.
        ratio: source_fp32_bytes over file_bytes.
        bits_per_weight: bits of the file per weight of the checkpoint.
        resident_bytes: what a scorer keeps in memory.
        decoded_bytes: what the decoded model would take in fp32.
        paper_params_mib: the paper's "Params" of the artifact; which tier a category is in counts as a code.
        paper_fm_mib: the paper's "Params" of the checkpoint.
        dim: embedding size.
        link: from logit to prediction.
        method: how the artifact was made.
        seed: its seed.
        source: tool, file name and SHA-256 of the checkpoint.
        libraries: versions of what made it.
        quality: rows, and AUC and LogLoss or the RMSE, on validation data of the checkpoint (``source``), of the
            artifact before tuning (``untuned``) and of the ``artifact``; empty where it was made without data.
        predicted_rise: rise of the loss that quantizing was expected to cause, before tuning: the fields' errors. The
            loss is the LogLoss, or half the mean squared error of a regression.
        measured_rise_untuned: loss before tuning, less the checkpoint's; None without data.
        measured_rise: loss of the artifact, less the checkpoint's; None without data.
        fields: the fields, in the order in which the model's tool takes them.
        numeric_bytes: of the file, the weights of the numeric fields.
        vocabulary_bytes: of the file, the vocabulary.
        source_linear_bytes: of source_fp32_bytes, the linear weights.
    """

    file_bytes: int
    budget_bytes: int
    header_bytes: int
    codes_bytes: int
    codebook_bytes: int
    raw_bytes: int
    linear_bytes: int
    source_fp32_bytes: int
    ratio: float
    bits_per_weight: float
    resident_bytes: int
    decoded_bytes: int
    paper_params_mib: float
    paper_fm_mib: float
    dim: int
    link: str
    method: str
    seed: int
    source: tuple[str, ...]
    libraries: dict[str, str]
    quality: dict[str, Quality]
    predicted_rise: float
    measured_rise_untuned: float | None
    measured_rise: float | None
    fields: tuple[FieldReport, ...]
    numeric_bytes: int = 0
    vocabulary_bytes: int = 0
    source_linear_bytes: int = 0

    @property
    def regression(self) -> bool:
        """Whether predictions are numbers of any size, not probabilities."""
        return parse_link(self.link).regression

    @property
    def parts(self) -> dict[str, int]:
        """Bytes of the parts of the file, by the names of their figures; they add up to the file."""
        return {name: getattr(self, name) for name in PARTS}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the report as JSON."""
        from fmcompress.reporting.render import to_json

        return to_json(self)

    def to_markdown(self, *, top: int | None = TOP) -> str:
        """Return the report as Markdown, with the ``top`` largest fields; None shows all."""
        from fmcompress.reporting.render import to_markdown

        return to_markdown(self, top=top)

    def to_text(self) -> str:
        """Return the report as plain text."""
        from fmcompress.reporting.render import to_text

        return to_text(self)

    def to_html(self, *, name: str = "", curve: Curve | None = None) -> str:
        """Return the report as a page of HTML that needs nothing else: no network, no scripts.

        Args:
            name: what the artifact is called.
            curve: sizes and quality of the same model, for a picture.
        """
        from fmcompress.reporting.page import to_html

        return to_html(self, name=name, curve=curve)

    def to_github(self, *, name: str = "") -> str:
        """Return the report as a workflow command of GitHub, which shows it as an annotation.

        Args:
            name: what the artifact is called.
        """
        from fmcompress.reporting.render import to_github

        return to_github(self, name=name)

    def to_card(self, *, name: str = "artifact.safetensors") -> str:
        """Return a model card: a README with a block of metadata, as model hubs take it.

        Args:
            name: file name of the artifact.
        """
        from fmcompress.reporting.card import to_card

        return to_card(self, name=name)


def report(artifact: str | Path | CompressedFM) -> Report:
    """Return the memory report of an artifact, from its header.

    Args:
        artifact: a file, or a model in memory.

    Raises:
        ArtifactError: the file is no artifact, or damaged.
    """
    model = artifact if isinstance(artifact, PackedFM) else read_artifact(artifact)
    header, file_bytes, origin = model.header, model.file_bytes, model.header.origin
    fields = tuple(field_reports(header, file_bytes))
    tables = [field for field in fields if field.kind == "categorical"]
    fp32_bytes = FLOAT_BYTES * header.schema.weights(header.dim)
    return Report(
        file_bytes=file_bytes,
        budget_bytes=origin.budget_bytes,
        header_bytes=header.header_bytes,
        codes_bytes=sum(field.codes_bytes for field in tables),
        codebook_bytes=sum(field.codebook_bytes for field in tables),
        raw_bytes=sum(field.raw_bytes for field in tables),
        linear_bytes=sum(field.linear_bytes for field in tables) + BIAS_BYTES,
        source_fp32_bytes=fp32_bytes,
        ratio=fp32_bytes / file_bytes,
        bits_per_weight=8 * file_bytes / (fp32_bytes // FLOAT_BYTES + 1),
        resident_bytes=resident_bytes(header),
        decoded_bytes=fp32_bytes + BIAS_BYTES,
        paper_params_mib=_paper_mib(header, header.quantizers) + sum(map(tier_bytes, header.tier_sizes)) / MIB,
        paper_fm_mib=_paper_mib(header, (Quantizer(),) * len(header.quantizers)),
        dim=header.dim,
        link=header.link,
        method=origin.method,
        seed=origin.seed,
        source=origin.source,
        libraries=dict(origin.libraries),
        quality=dict(origin.quality),
        predicted_rise=sum(header.errors),
        measured_rise_untuned=_rise(origin.quality, "untuned"),
        measured_rise=_rise(origin.quality, "artifact"),
        fields=fields,
        numeric_bytes=header.frame.numeric.nbytes,
        vocabulary_bytes=header.frame.vocabulary.nbytes,
        source_linear_bytes=FLOAT_BYTES * header.schema.flat_rows,
    )


def _rise(quality: Mapping[str, Quality], name: str) -> float | None:
    if "source" not in quality or name not in quality:
        return None
    found, source = quality[name], quality["source"]
    if found.regression:
        return (found.rmse**2 - source.rmse**2) / 2
    return round(found.logloss - source.logloss, _DECIMALS)


def _paper_mib(header: Header, quantizers: tuple[Quantizer, ...]) -> float:
    """Return the paper's figure, in which embeddings of numeric fields are floats like any other."""
    numeric = header.frame.numeric.nbytes - FLOAT_BYTES * len(header.schema.numeric)
    cardinalities = list(chain.from_iterable(header.tier_sizes))
    return paper_params_mib(cardinalities, quantizers, header.dim) + numeric / MIB

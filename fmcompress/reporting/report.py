"""The memory report of an artifact as users have it: it shows itself in every format."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Header, PackedFM, Quality, read_any_artifact
from fmcompress.artifact.header import BIAS_BYTES, tier_bytes
from fmcompress.artifact.packed import Packed
from fmcompress.fm.field_keys import decode_keys, stored_keys
from fmcompress.fm.quantizer import Quantizer, code_bits
from fmcompress.reporting.curve import Curve
from fmcompress.reporting.formats import FORMATS
from fmcompress.reporting.report_data import FIELD_PARTS, FLOAT_BYTES, ReportData, field_reports
from fmcompress.reporting.sections import TOP, Options
from fmcompress.reporting.tables_report import TablesReport, tables_report
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.serve.compressed_tables import CompressedTables
from fmcompress.serve.memory import resident_bytes

MIB = 2**20

_DECIMALS = 5
"""Of LogLoss, as it is written in the header: a difference of two has no more."""


@checked_arguments
@dataclass(frozen=True)
class Report(ReportData):
    """The memory report of an artifact.

    Attributes:
        file_bytes: size of the file.
        budget_bytes: size that was asked for; 0 where the file does not tell where it comes from.
        header_bytes: of the file, the header.
        codes_bytes: of the file, the embeddings' codes.
        codebook_bytes: of the file, the embeddings' codebooks.
        raw_bytes: of the file, raw embeddings of categories.
        linear_bytes: of the file, the linear part of categories; with the bias.
        source_fp32_bytes: embeddings, linear weights and dense layers of the checkpoint in fp32.
        ratio: source_fp32_bytes over file_bytes.
        bits_per_weight: bits of the file per weight of the checkpoint.
        resident_bytes: what a scorer keeps in memory.
        decoded_bytes: what the decoded model would take in fp32.
        paper_params_mib: the paper's "Params" of the artifact; which tier a category is in counts as a code.
        paper_fm_mib: the paper's "Params" of the checkpoint.
        dim: embedding size.
        link: from logit to prediction.
        method: how the artifact was made; empty where the file does not tell.
        seed: its seed.
        source: tool, file name and SHA-256 of the checkpoint.
        libraries: versions of what made it.
        quality: rows, and AUC and LogLoss or the RMSE, on validation data of the checkpoint (``source``), of the
            artifact before tuning (``untuned``) and of the ``artifact``; empty where it was made without data.
        sampled: without data, how far logits are from the checkpoint's on drawn rows: the ``largest`` and the ``mean``
            absolute error, and the ``spread`` of the checkpoint's logits; None where there were data.
        predicted_rise: rise of the loss that quantizing was expected to cause, before tuning: the fields' errors. The
            loss is the LogLoss, or half the mean squared error of a regression.
        measured_rise_untuned: loss before tuning, less the checkpoint's; None without data.
        measured_rise: loss of the artifact, less the checkpoint's; None without data.
        fields: the fields, in the order in which the model's tool takes them.
        numeric_bytes: of the file, the weights of the numeric fields.
        vocabulary_bytes: of the file, the vocabulary but for its keys.
        source_linear_bytes: of source_fp32_bytes, the linear weights.
        warnings: what was found, when it was made, that makes it doubtful.
        network: its dense layers, such as ``DeepFM 320-64-32-1, relu, int8``; None where there are none.
        network_bytes: of the file, the dense layers.
        keys_bytes: of the file, the 64-bit keys of categories.
        keys: the fields with such keys: how many, their bytes, and the chance that an unknown key is taken for one.
        layout: ``compact``, or ``plain`` as in schema versions 1 and 2.
        provenance_bytes: of a compact file, what it says of where it comes from.
        coded_bytes: of a compact file, what is entropy coded; it is counted with codes, codebooks and so on, too.
        uncoded_bytes: what that would take as it is.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return FORMATS["json"](self, Options())

    def shown(self, name: str, options: Options) -> str:
        """Return the report in a format of that name."""
        return FORMATS[name](self, options)

    @checked_arguments
    def to_markdown(self, *, top: int | None = TOP) -> str:
        """Return the report as Markdown, with the ``top`` largest fields; None shows all."""
        return FORMATS["markdown"](self, Options(top=top))

    def to_text(self) -> str:
        """Return the report as plain text."""
        return FORMATS["text"](self, Options())

    @checked_arguments
    def to_html(self, *, name: str = "", curve: Curve | None = None) -> str:
        """Return the report as a page of HTML that needs nothing else: no network, no scripts.

        Args:
            name: what the artifact is called.
            curve: sizes and quality of the same model, for a picture.
        """
        return FORMATS["html"](self, Options(name=name, curve=curve))

    @checked_arguments
    def to_github(self, *, name: str = "") -> str:
        """Return the report as a workflow command of GitHub, which shows it as an annotation.

        Args:
            name: what the artifact is called.
        """
        return FORMATS["github"](self, Options(name=name))

    @checked_arguments
    def to_card(self, *, name: str = "artifact.safetensors") -> str:
        """Return a model card: a README with a block of metadata, as model hubs take it.

        Args:
            name: file name of the artifact.
        """
        return FORMATS["card"](self, Options(name=name))


@checked_arguments
def report(artifact: str | Path | CompressedFM | CompressedTables) -> Report | TablesReport:
    """Return the memory report of an artifact, from its header: of a factorization machine, or of tables of vectors.

    Args:
        artifact: a file, or what it holds in memory.

    Raises:
        ArtifactError: the file is no artifact, or damaged.
    """
    found = artifact if isinstance(artifact, Packed) else read_any_artifact(artifact)
    return machine_report(found) if isinstance(found, PackedFM) else tables_report(found.header, found.sizes)


def machine_report(model: PackedFM) -> Report:
    """Return the memory report of a factorization machine, from its header."""
    header, sizes, origin = model.header, model.sizes, model.header.origin
    file_bytes = sizes.file_bytes
    fields = tuple(field_reports(header, sizes))
    tables = [field for field in fields if field.kind == "categorical"]
    codes, codebooks, raw, linear = (sum(getattr(field, part) for field in tables) for part in FIELD_PARTS)
    stored = header.frame.network
    keys = () if model.vocabulary_data is None else stored_keys(decode_keys(model.vocabulary_data.data)[0])
    dense_weights = 0 if stored is None else stored.weights(header.schema, header.dim)
    fp32_bytes = FLOAT_BYTES * (header.schema.weights(header.dim) + dense_weights)
    return Report(
        file_bytes=file_bytes,
        budget_bytes=origin.budget_bytes,
        header_bytes=sizes.header_bytes - (BIAS_BYTES if origin.compact else 0),
        codes_bytes=codes,
        codebook_bytes=codebooks,
        raw_bytes=raw,
        linear_bytes=linear + BIAS_BYTES,
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
        sampled=origin.sampled,
        measured_rise_untuned=_rise(origin.quality, "untuned"),
        measured_rise=_rise(origin.quality, "artifact"),
        fields=fields,
        numeric_bytes=header.frame.numeric.nbytes,
        vocabulary_bytes=header.frame.vocabulary.nbytes - sum(own.bytes for own in keys),
        source_linear_bytes=FLOAT_BYTES * header.schema.flat_rows,
        warnings=origin.warnings,
        network=None if stored is None else stored.described(header.schema, header.dim),
        network_bytes=sizes.network_bytes,
        keys_bytes=sum(own.bytes for own in keys),
        keys=keys,
        layout=origin.layout,
        provenance_bytes=sizes.provenance_bytes,
        coded_bytes=sizes.coded_bytes,
        uncoded_bytes=sizes.uncoded_bytes,
    )


def _rise(quality: Mapping[str, Quality], name: str) -> float | None:
    if "source" not in quality or name not in quality:
        return None
    found, source = quality[name], quality["source"]
    if found.regression:
        return (found.rmse**2 - source.rmse**2) / 2
    return round(found.logloss - source.logloss, _DECIMALS)


def paper_params_mib(cardinalities: Sequence[int], quantizers: Sequence[Quantizer], dim: int) -> float:
    """Return memory as the paper counts it, to set it beside Table 2: "Params" (section 4.3), in MiB.

    Floats take 32 bits, codes log2 K: raw embeddings l·4 bytes a row, a codebook K·l·4 bytes, codes D·log2 K bits a
    row. The linear part and the bias are not counted.

    Args:
        cardinalities: categories of each field.
        quantizers: how each field is stored.
        dim: embedding size l.
    """
    total = 0.0
    for cardinality, quantizer in zip(cardinalities, quantizers, strict=True):
        total += FLOAT_BYTES * quantizer.embedding_values(cardinality, dim)
        total += cardinality * sum(code_bits(k) for k in quantizer.codewords) / 8
    return total / MIB


def _paper_mib(header: Header, quantizers: tuple[Quantizer, ...]) -> float:
    """Return the paper's figure, in which embeddings of numeric fields are floats like any other."""
    numeric = header.frame.numeric.nbytes - FLOAT_BYTES * len(header.schema.numeric)
    cardinalities = list(chain.from_iterable(header.tier_sizes))
    return paper_params_mib(cardinalities, quantizers, header.dim) + numeric / MIB

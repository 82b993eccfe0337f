"""A model card: the README of a compressed model, with a block of metadata as model hubs read it."""

import json
import math
import shlex
from collections.abc import Iterator

from fmcompress.reporting import sections
from fmcompress.reporting.document import facts_table, markdown_text
from fmcompress.reporting.report_data import ReportData
from fmcompress.reporting.sections import LONGEST_NAME, TOP, Options
from fmcompress.sizes import format_size
from fmcompress.text import printable, shortened

_TAGS = ("fmcompress", "factorization-machine", "click-through-rate", "model-compression", "product-quantization")
_METRICS = {"auc": "roc_auc", "logloss": "log_loss", "rmse": "rmse"}
_MADE = ("method", "source", "link", "embedding size", "made with")
"""Facts that tell how it was made."""

_LONGEST = 200


def to_card(report: ReportData, options: Options) -> str:
    """Return a model card, under the artifact's file name."""
    return "\n\n".join([_front_matter(report, options.name), *_body(report, options.name)]) + "\n"


def _front_matter(report: ReportData, name: str) -> str:
    """Return the metadata: YAML in which all texts are quoted as JSON quotes them, which YAML understands."""
    task = "tabular-regression" if report.regression else "tabular-classification"
    tags = [f"  - {tag}" for tag in _TAGS]
    measured = list(_measured(report))
    lines = ["library_name: fmcompress", f"pipeline_tag: {task}", "tags:", *tags]
    if measured:
        lines += ["metrics:", *(f"  - {metric}" for metric, _, _ in measured), *_index(report, name, task, measured)]
    return "\n".join(["---", *lines, "---"])


def _index(report: ReportData, name: str, task: str, measured: list[tuple[str, str, float]]) -> Iterator[str]:
    """Yield the lines that tell the scores to machines."""
    yield "model-index:"
    yield f"  - name: {_quoted(name)}"
    yield "    results:"
    yield "      - task:"
    yield f"          type: {task}"
    yield "        dataset:"
    yield "          type: validation"
    yield f"          name: validation data, {report.quality['artifact'].rows:,} rows"
    yield "        metrics:"
    for metric, label, value in measured:
        yield f"          - type: {metric}"
        yield f"            name: {label}"
        yield f"            value: {value!r}"


def _measured(report: ReportData) -> Iterator[tuple[str, str, float]]:
    """Yield the scores of the artifact: names for machines and for people, and the figures."""
    found = report.quality.get("artifact")
    for score, label in sections.scores(report).items():
        value = math.nan if found is None else float(getattr(found, score))
        if math.isfinite(value):
            yield _METRICS[score], label, value


def _quoted(text: str) -> str:
    return json.dumps(shortened(text, _LONGEST), ensure_ascii=False)


def _body(report: ReportData, name: str) -> Iterator[str]:
    shown, left = sections.largest(report.fields, TOP)
    known = dict(sections.facts(report))
    predicts = "numbers" if report.regression else "probabilities"
    yield f"# {_text(name)}"
    yield (
        f"A factorization machine that predicts {predicts}, compressed to {format_size(report.file_bytes)}: "
        f"{sections.times_smaller(report)} than its weights in fp32."
    )
    yield "## Size"
    yield facts_table(_sizes(report)).markdown()
    yield sections.parts_table(report).markdown()
    yield "## Quality"
    yield from _quality(report)
    yield "## How to use it"
    yield from _use(report, name)
    yield "## Fields"
    yield sections.fields_table(shown, longest=LONGEST_NAME).markdown()
    yield from [sections.left_out(left)] if left else []
    yield "## How it was made"
    yield facts_table([(name, known[name]) for name in _MADE]).markdown()
    yield "## Limits"
    yield _limits(report)


def _sizes(report: ReportData) -> list[tuple[str, str]]:
    return [
        ("file", format_size(report.file_bytes)),
        *([("budget", format_size(report.budget_bytes))] if report.method else []),
        ("weights in fp32", format_size(report.source_fp32_bytes)),
        ("bits per weight", f"{report.bits_per_weight:.3f}"),
        ("memory while scoring", format_size(report.resident_bytes)),
    ]


def _quality(report: ReportData) -> Iterator[str]:
    yield from (table.markdown() for table in sections.quality_tables(report))
    loss = "half the squared error" if report.regression else "LogLoss"
    yield f"Rise of {loss} against the checkpoint: {sections.rises(report)}."
    if not report.quality:
        yield "It was made without data, so nothing was measured: `fmcompress evaluate` measures it on yours."


def _use(report: ReportData, name: str) -> Iterator[str]:
    """Yield how the file is used, on the command line and in Python."""
    categories = [field.name for kind in ("categorical", "shared") for field in report.fields if field.kind == kind]
    numbers = [field.name for field in report.fields if field.numeric]
    file = shortened(name, _LONGEST)
    command = f"fmcompress score {shlex.quote(file)} rows.parquet -o scores.parquet"
    several = [field.name for field in report.fields if field.pooling is not None]
    arguments = f"ids, {_rows_of(numbers, '0.0')}" if numbers else "ids"
    if several:
        arguments += f", bags={{{', '.join(f'{json.dumps(name, ensure_ascii=False)}: [[0]]' for name in several)}}}"
    code = [
        "import fmcompress as fc",
        "",
        f"model = fc.load({json.dumps(file, ensure_ascii=False)})",
        f"ids = {_ids_of(categories, several)}  # a row of category ids, -1 where one is missing",
        f"predictions = model.predict({arguments})",
    ]
    yield "On the command line, for a file with a column for each field:"
    yield _block("console", f"$ {command}")
    yield "In Python:"
    yield _block("python", *code)
    yield f"The ids of a row are those of {_listed(categories)}, in this order, counted from 0."
    if several:
        yield f"In a row there may be several values of {_listed(several)}: they are lists in `bags`, and -1 in `ids`."
    if numbers:
        yield f"Its numbers are those of {_listed(numbers)}, NaN where one is missing."


def _ids_of(names: list[str], several: list[str]) -> str:
    if not several:
        return _rows_of(names, "0")
    return f"[[{', '.join('-1' if name in several else '0' for name in names)}]]"


def _rows_of(names: list[str], one: str) -> str:
    return f"[[{', '.join([one] * len(names))}]]" if len(names) <= TOP else f"[[{one}] * {len(names)}]"


def _listed(names: list[str]) -> str:
    shown = ", ".join(_text(name) for name in names[:TOP])
    return f"{shown} and {len(names) - TOP:,} more" if len(names) > TOP else shown


def _block(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *map(printable, lines), "```"])


def _limits(report: ReportData) -> str:
    parts = [
        "- It predicts what its factorization machine predicts, up to the errors above, and has that model's biases.",
        "- Ids that the model was not trained on are refused; `--oov zero` lets them contribute nothing.",
    ]
    if report.warnings:
        found = "; ".join(markdown_text(shortened(warning, _LONGEST)) for warning in report.warnings)
        parts.append(f"- What it was made from is doubtful: {found}.")
    if report.keys_bytes:
        parts.append(
            f"- It carries 64-bit keys, {sections.keys_of(report)}: `fmcompress score` takes them; `predict` takes ids."
        )
    elif report.vocabulary_bytes:
        parts.append("- It carries its vocabulary: `fmcompress score` takes raw tokens; `predict` takes ids.")
    else:
        parts.append("- It carries no vocabulary: rows must hold category ids, not raw tokens.")
    return "\n".join(parts)


def _text(name: str) -> str:
    return markdown_text(shortened(name, LONGEST_NAME))

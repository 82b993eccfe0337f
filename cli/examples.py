"""Examples that the help of each command shows."""

from __future__ import annotations

EXAMPLES = {
    "train": (
        "fmcompress train train.parquet -o fm.pt",
        "fmcompress train train.parquet --valid valid.parquet -o fm.pt --dim 16",
    ),
    "inspect": (
        "fmcompress inspect fm.pt",
        "fmcompress inspect model.pt --fields user:6040,item:3706 --format json",
    ),
    "quantize": (
        "fmcompress quantize fm.pt --budget 10MB",
        "fmcompress quantize fm.pt --budget 10MB --dry-run",
        "fmcompress quantize fm.pt --budget 10MB -o artifact.safetensors \\",
        "    --train train.parquet --valid valid.parquet",
    ),
    "sweep": (
        "fmcompress sweep fm.pt --budgets 10x,20x,40x --data test.parquet",
        "fmcompress sweep fm.pt --budgets 100KB,1MB --data test.parquet --plot a.svg",
    ),
    "report": (
        "fmcompress report artifact.safetensors",
        "fmcompress report artifact.safetensors --format html -o report.html",
        "fmcompress report artifact.safetensors --card -o README.md",
    ),
    "compare": (
        "fmcompress compare old.safetensors new.safetensors",
        "fmcompress compare old.safetensors new.safetensors --data test.parquet",
    ),
    "evaluate": ("fmcompress evaluate fm.pt artifact.safetensors --data test.parquet",),
    "check": (
        "fmcompress check artifact.safetensors --max-size 10MB",
        "fmcompress check artifact.safetensors --max-size 10MB --data test.parquet \\",
        "    --baseline fm.pt --max-auc-drop 0.001",
    ),
    "score": ("fmcompress score artifact.safetensors rows.parquet -o scores.parquet",),
    "demo": (
        "fmcompress demo",
        "fmcompress demo --folder demo",
    ),
    "doctor": ("fmcompress doctor",),
}

"""Scores side by side."""

import json
import math

from fmcompress.evaluation.scores import Scores
from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation

EVALUATION = Evaluation(
    (
        EvaluatedModel(
            "fm.pt", 1000, Scores(20, 0.75, 0.5, 1.0, math.nan, 8, 0.0625, 0.4375, 0.03125, 0.0, 1.5, -0.25)
        ),
        EvaluatedModel("a|b\n.safetensors", 100, Scores(20, 0.74, 0.51, 0.9, math.nan, 8, 0.065), 0.004),
        EvaluatedModel("one-label", 100, Scores(20, math.nan, 0.3, math.nan)),
    )
)


def test_json_has_the_keys_of_pipelines_and_no_nan():
    found = json.loads(EVALUATION.to_json(), parse_constant=lambda constant: constant / 0)
    assert found["models"][0] == {
        "name": "fm.pt", "rows": 20, "auc": 0.75, "logloss": 0.5, "calibration": 1.0, "rmse": None, "bytes": 1000,
        "positives": 8, "auc_standard_error": 0.0625, "auc_change_standard_error": None,
        "calibrated_logloss": 0.4375, "calibration_error": 0.03125, "calibrated_error": 0.0, "scale": 1.5,
        "offset": -0.25,
    }  # fmt: skip
    assert found["models"][2]["auc"] is None


def test_differences_are_to_the_first_model():
    first, second = EVALUATION.to_text().splitlines()[2:4]
    auc = ["0.75000", "±", "0.06250", "+0.00000"]
    assert first.split() == [
        "fm.pt",
        "1,000",
        "20",
        *auc,
        "0.50000",
        "+0.00000",
        "0.43750",
        "+0.00000",
        "0.03125",
        "1.0000",
    ]
    assert "-0.01000 ± 0.00400" in second
    assert "+0.01000" in second


def test_regressions_show_their_own_figure():
    found = Evaluation(
        tuple(
            EvaluatedModel(name, 10, Scores(20, math.nan, math.nan, math.nan, rmse))
            for name, rmse in (("fm", 0.9), ("small", 0.95))
        )
    )
    head, _, first, second = found.to_text().splitlines()
    assert head.split() == ["model", "bytes", "rows", "RMSE", "ΔRMSE"]
    assert first.split() == ["fm", "10", "20", "0.90000", "+0.00000"]
    assert second.split() == ["small", "10", "20", "0.95000", "+0.05000"]
    shown = json.loads(found.to_json())["models"][1]
    assert (shown["rmse"], shown["auc"], shown["logloss"]) == (0.95, None, None)


def test_regressions_beside_probabilities_show_both():
    models = (*EVALUATION.models[:1], EvaluatedModel("fm", 10, Scores(20, math.nan, math.nan, math.nan, 0.9)))
    head, _, first, second = Evaluation(models).to_text().splitlines()
    loss = ["LogLoss", "ΔLogLoss", "calibrated", "Δcalibrated", "ECE", "calibration"]
    assert head.split()[3:] == ["AUC", "ΔAUC", *loss, "RMSE", "ΔRMSE"]
    assert first.split()[-2:] == ["nan", "+nan"]
    assert second.split()[3:] == ["nan", "+nan", "nan", "+nan", "nan", "+nan", "nan", "nan", "0.90000", "+nan"]


def test_names_stay_in_their_cells():
    assert len(EVALUATION.to_text().splitlines()) == len(EVALUATION.to_markdown().splitlines()) == 5
    assert "a\\|b\\\\n.safetensors" in EVALUATION.to_markdown()

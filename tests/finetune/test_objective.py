"""What tuning minimises: targets between labels and the teacher's predictions, and losses by the link."""

import numpy as np
import pytest
import torch

from fmcompress.finetune.objective import Targets, loss_by
from fmcompress.fm.links import parse_link
from fmcompress.fm.scorer import FMScorer
from tests import kinds

TEXTS = ["sigmoid", "probit", "identity", "clip:1:5"]
LOGITS = np.linspace(-4, 7, 45)
TARGETS = np.linspace(0, 1, 45)


@pytest.mark.parametrize("text", TEXTS)
def test_what_training_minimises_is_the_same_loss(text):
    link = parse_link(text)
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = loss_by(link)(logits, torch.tensor(TARGETS))
    loss.backward()
    assert loss.item() == pytest.approx(link.losses(LOGITS, TARGETS).mean())
    np.testing.assert_allclose(logits.grad.numpy() * len(LOGITS), link.slopes(LOGITS, TARGETS), atol=1e-9)


@pytest.mark.parametrize("link", ["sigmoid", "identity"])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_targets_lie_between_labels_and_predictions(link, share):
    teacher = kinds.checkpoint(link)
    rows = kinds.batch(teacher, 40)
    predictions = FMScorer(teacher).predict(rows.ids, rows.values)
    targets = Targets(teacher, share, "cpu")
    found = targets.of(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (1 - share) * rows.labels + share * predictions, atol=1e-6)
    assert targets(rows).tolist() == found.tolist()

"""A model in training whose epochs score as a script says, for tests of what goes on around it."""

from functools import cached_property

import numpy as np
import torch

from fmcompress.data.batch import Batch
from fmcompress.data.summary import summarize
from fmcompress.evaluation.scores import Scores
from fmcompress.fm.schema import Schema
from fmcompress.training.trainable import Trainable
from tests.data.rows import RowsInMemory


class MemoryRows(RowsInMemory):
    """So many rows of one field, in memory; the id of a row is its number."""

    schema = Schema.of([("field", 100)])
    out_of_range = 0
    files = ()
    files_bytes = 0

    def __init__(self, rows):
        self.rows = rows

    def batches(self, *, order=None):
        ids = np.arange(self.rows, dtype=np.int32)[:, None]
        yield Batch(ids, np.zeros(self.rows, np.float32))

    @cached_property
    def summary(self):
        return summarize(self.schema, self.batches())


class Scripted(Trainable):
    """A single weight that each step adds 1 to; what is kept of it is its value.

    Attributes:
        seen: the ids of each batch.
        begun: the epochs that began.
        fallen: the kept models that were taken up again.
    """

    def __init__(self):
        self.module = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.module.weight)
        self.optimizers = [torch.optim.SGD(self.module.parameters(), lr=1.0)]
        self.schedulers = []
        self.seen, self.begun, self.fallen = [], [], []

    def loss(self, batch):
        objective = -self.module.weight.sum()
        return objective, objective.detach() + 0.5

    def step(self, batch):
        self.seen.append(batch.ids[:, 0].tolist())
        return super().step(batch)

    def kept(self):
        return self.module.weight.item()

    def begin_epoch(self, epoch, epochs):
        self.begun.append((epoch, epochs))

    def fall_back(self, kept):
        self.fallen.append(kept)
        with torch.no_grad():
            self.module.weight.fill_(kept)

    def encode(self, kept):
        return {"weight": kept}

    def decode(self, encoded):
        return encoded["weight"]


def scores(selection):
    """Return scores by which a state is chosen as this number says."""
    return Scores(10, 0.5, 0.5 - selection, 1.0)

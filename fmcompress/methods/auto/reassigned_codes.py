"""Codes that are assigned anew between epochs, on a sample of the training rows."""

from dataclasses import dataclass

import numpy as np

from fmcompress.artifact import PackedFM
from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import BUFFER_BYTES, WHOLE, shuffled
from fmcompress.finetune.objective import Targets
from fmcompress.finetune.options import ReassignOptions
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.finetune.tuner import CodeUpdate
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.methods.auto.code_budget import CodeBudget, Room
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.processes.world import this_process
from fmcompress.quantization.sensitivity import Sensitivity

_SAMPLE_ROWS = 2**20
_CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class ReassignedCodes(CodeUpdate):
    """Codes are assigned anew before epochs by a Newton step, and stand still within them; see ``reassignment``.

    Attributes:
        teacher: the factorization machine that is compressed, in the coordinates of the codebooks.
        sensitivity: H_f and h_f of each field.
        rows: training data.
        options: how codes are assigned, and in which share of the epochs.
        seed: of the samples.
        room: what the artifact may take where codes are entropy coded; None elsewhere.
    """

    teacher: FMCheckpoint
    sensitivity: Sensitivity
    rows: Rows
    options: ReassignOptions
    seed: int
    room: Room | None = None

    def begin_epoch(
        self, module: QuantizedModule, model: QuantizedFM, targets: Targets, epoch: int, epochs: int
    ) -> None:
        """Assign codes anew, in the first epochs, and where the artifact would not stay within its budget."""
        if epoch > self.options.share * epochs and not self._nearly_full(module.store(model)):
            return
        sample = _sample(self.rows, seed=self.seed * 1_000_003 + epoch)
        world = this_process()
        own = sample.take(world.share(len(sample)))
        chunks = [own.take(slice(first, first + _CHUNK_ROWS)) for first in range(0, len(own), _CHUNK_ROWS)]
        wanted = world.joined(np.concatenate([np.empty(0, np.float32), *map(targets.of, chunks)]))
        found = reassign(
            module.store(model),
            sample,
            wanted,
            teacher=self.teacher,
            sensitivity=self.sensitivity,
            prior=self.options.prior,
            budget=None if self.room is None else CodeBudget(self.room),
        )
        module.recode(found)

    def admissible(self, model: PackedFM) -> bool:
        """Return whether a model is within its budget."""
        return self.room is None or model.file_bytes <= self.room.budget_bytes

    def _nearly_full(self, model: QuantizedFM) -> bool:
        return self.room is not None and self.room.nearly_full(model)


def _sample(rows: Rows, *, seed: int) -> Batch:
    """Return as many rows, in random order, as fit the buffer that shuffles them, a million at most."""
    most = min(_SAMPLE_ROWS, BUFFER_BYTES // (4 * (len(rows.schema.order) + 1)))
    found: list[Batch] = []
    for batch in shuffled(rows, _CHUNK_ROWS, seed=seed, shares=WHOLE):
        found.append(batch)
        if batch.bags:
            most = min(_SAMPLE_ROWS, BUFFER_BYTES * _CHUNK_ROWS * len(found) // sum(one.nbytes for one in found))
        if _CHUNK_ROWS * len(found) >= most:
            break
    return concatenate(found)

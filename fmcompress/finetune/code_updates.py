"""What becomes of codes while the numbers of a model are tuned: the interface, and codes that stand still."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from fmcompress.finetune.layers import EmbeddingLayer, FixedCodes
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.finetune.targets import Targets
from fmcompress.fm.quantized import QuantizedFM


class CodeUpdate:
    """What becomes of codes in tuning; these stand still."""

    def layer(self, model: QuantizedFM, columns: list[int]) -> EmbeddingLayer:
        """Return the layer of the fields in some columns, coded in the same number of subspaces."""
        return FixedCodes(model, columns)

    def optimizers(self, module: QuantizedModule) -> list[Optimizer]:
        """Return what trains the parameters that layers of this kind have beside their tables."""
        return []

    def penalty(self, module: QuantizedModule) -> Tensor | float:
        """Return what the codes add to the loss of the last batch, a float32 scalar."""
        return 0.0

    def begin_epoch(
        self, module: QuantizedModule, model: QuantizedFM, targets: Targets, epoch: int, epochs: int
    ) -> None:
        """Change codes before an epoch.

        Args:
            module: the numbers and codes as they are now.
            model: the model that they belong to.
            targets: what the model is to predict.
            epoch: the epoch that begins, from 1.
            epochs: how many there are.
        """

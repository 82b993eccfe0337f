"""A factorization machine as xLearn has it, and how to bring it into canonical form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.dialect import Given
from fmcompress.errors import CheckpointError
from fmcompress.fm.schema import Schema


@dataclass(frozen=True)
class XLearnModel:
    """What a file of xLearn holds.

    With instance-wise normalisation and n = 1 / Σ x_i², a row's logit is

        w_0 + √n Σ_i w_i x_i + n² Σ_{i<j} ⟨v_i, v_j⟩ x_i x_j

    Attributes:
        bias: w_0.
        linear: w, float32 (rows,).
        embeddings: V, float32 (rows, dim).
        link: that of the loss; None where the file does not say.
    """

    bias: float
    linear: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]
    link: str | None

    def fold_norm(self, schema: Schema, given: Given) -> None:
        """Bring the instance-wise normalisation into the weights, in place.

        A row with F active categories has n = 1 / F, so that the weights are w / √F and V / F. A row where a value is
        missing would have another n in xLearn; here it keeps that of a whole row.

        Raises:
            CheckpointError: the caller does not say whether there is one, or a numeric field makes n depend on the row.
        """
        if given.instance_norm is None:
            raise CheckpointError(
                "it does not say whether it was trained with instance-wise normalisation, which is xLearn's default",
                hint="pass --instance-norm, or --no-instance-norm if it was turned off (disableNorm, --no-norm)",
            )
        if not given.instance_norm:
            return
        if schema.numeric:
            raise CheckpointError(
                f"instance-wise normalisation depends on the value of numeric field {schema.numeric[0].name!r}, "
                "so that the model is no plain factorization machine",
                hint="train it with disableNorm, or with this field in buckets",
            )
        active = len(schema.id_names)
        with np.errstate(invalid="ignore"):  # what is not finite is refused later, by name
            self.linear[:] *= np.float32(active**-0.5)
            self.embeddings[:] *= np.float32(1 / active)

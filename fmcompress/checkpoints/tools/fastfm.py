"""Models of fastFM: pickles of its estimators.

w0_   number
w_    float64 (rows,)
V_    float64 (dim, rows)

Whatever solver has trained a classifier, it predicts by probit. What MCMC has trained cannot be read: fastFM predicts
while it draws samples, and keeps but the last one.
"""

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat
from fmcompress.checkpoints.files.pickle_file import float32_array, number
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint

_PACKAGE = "fastFM."
_LINKS = {
    "fastFM.als.FMRegression": "identity",
    "fastFM.als.FMClassification": "probit",
    "fastFM.sgd.FMRegression": "identity",
    "fastFM.sgd.FMClassification": "probit",
}
_REFUSED = {
    "fastFM.mcmc.": "it was trained by MCMC, whose predictions are averages over samples that fastFM does not keep",
    "fastFM.bpr.": "it was trained to rank pairs: its scores are no predictions",
}


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file is a pickle of an estimator of fastFM."""
    return file.pickle.class_name.startswith(_PACKAGE)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of fastFM; ``given.fields`` must say what its columns are.

    Raises:
        CheckpointError: it is of another kind or not trained, shapes disagree, fields are missing.
    """
    model = file.pickle.read_object()
    if model.class_name not in _LINKS:
        refused = next((why for start, why in _REFUSED.items() if model.class_name.startswith(start)), None)
        raise CheckpointError(refused or f"it is a {quoted(model.class_name)}, expected one of {', '.join(_LINKS)}")
    found = model.attributes
    bias = number("w0_", found.get("w0_"))
    linear = float32_array("w_", found.get("w_"), 1)
    embeddings = float32_array("V_", found.get("V_"), 2, transposed=True)
    if len(embeddings) != len(linear):
        shape = embeddings.T.shape
        raise CheckpointError(f"w_ has shape {linear.shape} and V_ {shape}, expected (rows,) and (dim, rows)")
    if not embeddings.shape[1]:
        raise CheckpointError("it has no embeddings: it is a linear model, of rank 0")
    schema = agreed_fields(None, given.fields, len(linear))
    return from_flat(schema, bias, linear, embeddings, link=_LINKS[model.class_name])

"""Models that are tuned outside a pipeline."""

from fmcompress.finetune.tuner import tune
from fmcompress.methods.code_updates import code_update


def finetune(model, rows, valid, *, teacher, options, counts=None, sensitivity=None, **others):
    """Return the fit of a packed model, with codes that change as its options say; ``others`` are those of ``tune``."""
    codes = code_update(options, teacher, model.tiers, rows=rows, counts=counts, sensitivity=sensitivity)
    return tune(model, rows, valid, teacher=teacher, options=options, codes=codes, **others)

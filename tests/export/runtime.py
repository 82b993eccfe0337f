"""onnxruntime on one thread, and what it makes of models."""

import json

import numpy as np
import pytest

from fmcompress.export.onnx_file import onnx_model
from fmcompress.fm.bags import Bag

onnx = pytest.importorskip("onnx", reason="onnx writes the files")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime scores with them")


class Runtime:
    """A model in onnxruntime."""

    def __init__(self, exported, *, optimised=True):
        """Load an ``onnx.ModelProto``, or a file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        data = str(exported) if not hasattr(exported, "SerializeToString") else exported.SerializeToString()
        self.session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    @property
    def names(self):
        """What metadata say: fields of each input, link, SHA-256."""
        found = self.session.get_modelmeta().custom_metadata_map
        return {key: json.loads(text) if text.startswith("[") else text for key, text in found.items()}

    def predict(self, ids=None, values=None, tokens=None, **bags):
        """Return predictions; inputs of fields with several values are given by their names."""
        inputs = {port.name for port in self.session.get_inputs()}
        given = {
            "ids": None if ids is None else np.asarray(ids, np.int64),
            "values": None if values is None else np.asarray(values, np.float32),
            "tokens": tokens,
            **bags,
        }
        (found,) = self.session.run(["prediction"], {name: given[name] for name in inputs})
        return found


def padded(schema, ids, bags):
    """Return inputs of rows: ids of fields with one value, and the ids, and weights, of the others.

    Args:
        schema: the fields.
        ids: of all fields, int64 (rows, ids).
        bags: of some of those with several values; of others, the column of ids tells the only one.
    """
    found = {"ids": ids[:, [name not in schema.poolings for name in schema.id_names]]}
    for name in schema.poolings:
        own = bags.get(name, Bag(np.arange(len(ids) + 1), ids[:, schema.id_names.index(name)]))
        place = np.arange(own.counts.max(initial=0)) < own.counts[:, None]
        found[f"ids.{name}"] = np.full(place.shape, -1, np.int64)
        found[f"ids.{name}"][place] = own.ids
        found[f"weights.{name}"] = np.ones(place.shape, np.float32)
        found[f"weights.{name}"][place] = 1 if own.weights is None else own.weights
    return found


def assert_scored_alike(model, ids, values=None, **how):
    """Check what a model comes to in onnxruntime; return the file's bytes."""
    exported = onnx_model(model)
    onnx.checker.check_model(exported, full_check=True)
    values = values if model.schema.numeric else None
    expected = model.predict(ids, values)
    found = Runtime(exported, **how).predict(ids, values)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    return len(exported.SerializeToString())

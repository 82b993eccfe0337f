"""The class that users hold: what is packed, ready to predict and to be saved."""

import dataclasses

import numpy as np
import pytest

from fmcompress.artifact import PackedFM, save, with_vocabulary
from fmcompress.errors import ArtifactError
from fmcompress.serve.compressed_fm import CompressedFM, load
from tests.mixed import packed_mixed, vocabulary_of
from tests.models import EVERY_SHAPE, packed, random_ids

MODEL = packed(4, "9 2x4 4", "5 raw raw")
PACKED = PackedFM(MODEL.header, MODEL.bias, MODEL.values, MODEL.codes, MODEL.numeric)


def test_a_packed_model_becomes_one_that_predicts_without_a_copy():
    model = CompressedFM.of(PACKED)
    assert model.values is PACKED.values
    assert model.codes is PACKED.codes
    ids = random_ids(model.schema, 20)
    np.testing.assert_array_equal(model.predict(ids), MODEL.predict(ids))


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_load_is_the_inverse_of_save(tmp_path, shape):
    model = packed(*EVERY_SHAPE[shape])
    model.save(tmp_path / "a")
    save(model, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    ids = random_ids(model.schema, 20)
    np.testing.assert_array_equal(load(str(tmp_path / "a")).predict(ids), model.predict(ids))


def test_what_changes_one_gives_one_of_the_same_kind_with_a_scorer_of_its_own():
    model = packed_mixed(4, "9 2x4 4", "5 raw raw")
    ids = random_ids(model.schema, 20, missing=0)
    before = model.predict(ids)
    carrying = with_vocabulary(model, vocabulary_of(model.schema))
    np.testing.assert_array_equal(carrying.predict(ids), before)
    assert (dataclasses.replace(model, bias=model.bias + 1).predict(ids) > before).all()


def test_what_is_no_artifact_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        load(tmp_path / "a")

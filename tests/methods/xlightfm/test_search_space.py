"""What xLightFM chooses from: sizes, exact bytes, and the most probable architecture within a budget."""

from itertools import product

import numpy as np
import pytest

from fmcompress.errors import BudgetError, UsageError
from fmcompress.fm.quantizer import Quantizer
from fmcompress.methods.xlightfm.options import SpaceOptions
from fmcompress.methods.xlightfm.search_space import lay_out
from fmcompress.quantization import sensitivity
from fmcompress.quantization.codebooks import fit_codebooks
from tests.models import origin, pack_model, random_checkpoint

CHECKPOINT = random_checkpoint((300, 90, 20, 3), dim=6)
OPTIONS = SpaceOptions(subspaces=2, candidates=(4, 16, 64), linear_codewords=8)


def space(budget_bytes=100_000):
    return lay_out(CHECKPOINT, OPTIONS, origin(budget_bytes=budget_bytes))


def test_no_codebook_is_larger_than_its_field():
    found = space()
    assert found.columns == [0, 1, 2]
    np.testing.assert_array_equal(found.sizes, [[4, 16, 64], [4, 16, 64], [4, 16, 20]])
    chosen = found.quantizers(np.array([[0, 2], [1, 1], [2, 2]]))
    assert chosen == [Quantizer((4, 64), 8), Quantizer((16, 16), 8), Quantizer((), 8), Quantizer((), 0)]
    assert found.quantizers(np.array([[0, 0], [0, 0], [2, 0]]))[2] == Quantizer((20, 4), 8)


@pytest.mark.parametrize("selected", [[[0, 0]] * 3, [[0, 2], [1, 0], [2, 1]], [[2, 2]] * 3], ids=str)
def test_bytes_are_those_of_the_file(selected, tmp_path):
    found, numbers = space(), np.array(selected)
    costs = sensitivity.from_moments(CHECKPOINT, CHECKPOINT.counts)
    model = fit_codebooks(CHECKPOINT, costs, found.quantizers(numbers), seed=0, metric="euclidean")
    pack_model(model, origin(budget_bytes=100_000)).save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size == found.file_bytes(numbers)


def test_the_most_probable_architecture_within_the_budget():
    rng = np.random.default_rng(0)
    logs = np.log(rng.random((3, 2, 3))).astype(np.float32)
    logs[:, :, 2] += 2
    favourites = logs.argmax(axis=2)
    roomy = space()
    np.testing.assert_array_equal(roomy.most_probable(logs), favourites)
    everything = [np.array(numbers).reshape(3, 2) for numbers in product(range(3), repeat=6)]
    sizes = [roomy.file_bytes(numbers) for numbers in everything]
    likes = [float(np.take_along_axis(logs, numbers[:, :, None], axis=2).sum()) for numbers in everything]
    slack = 64  # names of sizes, and codes that raw fields do without, are counted roughly
    for budget in range(min(sizes), max(sizes), 97):
        found = space(budget).most_probable(logs)
        liked = float(np.take_along_axis(logs, found[:, :, None], axis=2).sum())
        assert roomy.file_bytes(found) <= budget
        within = [like for like, size in zip(likes, sizes, strict=True) if size <= budget - slack]
        assert not within or liked >= max(within) - 1e-4


def test_a_budget_that_cannot_be_met():
    smallest = space().file_bytes(space().smallest)
    space(smallest)
    with pytest.raises(BudgetError, match=f"{smallest:,} bytes") as caught:
        space(smallest - 1)
    assert caught.value.smallest_bytes == smallest


@pytest.mark.parametrize(
    "wrong",
    [
        *({"subspaces": 0}, {"candidates": (64, 16)}, {"candidates": (1, 4)}),
        *({"candidates": (4, 8192)}, {"linear_codewords": -1}),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        SpaceOptions(**wrong)


def test_more_subspaces_than_coordinates():
    with pytest.raises(UsageError, match="6 coordinates"):
        lay_out(CHECKPOINT, SpaceOptions(subspaces=7), origin())

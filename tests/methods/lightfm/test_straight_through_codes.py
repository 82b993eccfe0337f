"""Codes that move: the equations by plain autograd, what stays as it is, and what is stored."""

import numpy as np
import pytest
import torch

from fmcompress.artifact import unpack_model
from fmcompress.errors import UsageError
from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.options import MovingOptions
from fmcompress.finetune.quantized_module import QuantizedModule, embedding_layers
from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.methods.lightfm.code_assignment import LatentStart
from fmcompress.methods.lightfm.straight_through import distance_weights
from fmcompress.methods.lightfm.straight_through_codes import LatentSGD, StraightThroughCodes, straight_through_layers
from tests.models import origin, pack_model, plain_logits, quantized, random_ids

SHAPES = {
    "one group": (8, "40 4x8 4", "30 4x8 raw", "5 raw raw"),
    "two groups": (8, "40 4x8 4", "30 2x16 raw", "6 raw 2"),
    "uneven subspaces": (7, "40 3x8 4", "31 3x4 raw"),
    "unequal sizes": (8, "40 16,8,4,2 4", "30 4,4,30,8 raw"),
}


def moving(shape, *, seed=0, **options):
    """Return a model, its module with moving codes, and the embeddings that its latents start from."""
    model = quantized(*SHAPES[shape], seed=seed)
    rng = np.random.default_rng(seed)
    embeddings = [f.embeddings() + 0.05 * rng.standard_normal(f.embeddings().shape) for f in model.fields]
    embeddings = [e.astype(np.float32) for e in embeddings]
    counts = [rng.integers(0, 50, len(e)) for e in embeddings]
    settings = MovingOptions(**{"candidates": 64, **options})
    start = LatentStart(embeddings, counts, settings)
    layers = embedding_layers(model, lambda m, columns: StraightThroughCodes(m, columns, start), sparse=False)
    return model, QuantizedModule(model, sparse=False, layers=layers), embeddings, counts


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_stored_predicts_what_was_trained(shape, missing):
    model, module, _, _ = moving(shape)
    ids = random_ids(model.schema, 200, missing=missing)
    logits = module(Inputs(torch.from_numpy(ids).long()))
    stored = module.store(model)
    np.testing.assert_allclose(logits.detach(), plain_logits(stored, ids), rtol=1e-4, atol=1e-5)
    packed = unpack_model(pack_model(stored, origin()))
    for field, found in zip(stored.fields, packed.fields, strict=True):
        np.testing.assert_array_equal(field.codes, found.codes)


@pytest.mark.parametrize("shape", ["one group", "uneven subspaces", "unequal sizes"])
def test_each_category_of_the_batch_gets_its_nearest_codewords(shape):
    model, module, embeddings, _ = moving(shape)
    ids = random_ids(model.schema, 60, missing=0.2)
    module(Inputs(torch.from_numpy(ids).long()))
    for column, field in enumerate(module.store(model).fields):
        if field.quantizer.raw:
            continue
        seen = np.isin(np.arange(len(field.codes)), ids[:, column])
        bounds = subspace_bounds(model.dim, len(field.tables))
        for d, (start, end) in enumerate(bounds):
            vectors = embeddings[column][:, start:end]
            nearest = ((vectors[:, None] - field.tables[d][None]) ** 2).sum(axis=2).argmin(axis=1)
            np.testing.assert_array_equal(field.codes[seen, d], nearest[seen])
            np.testing.assert_array_equal(field.codes[~seen, d], model.fields[column].codes[~seen, d])


def test_scoring_moves_nothing():
    model, module, _, _ = moving("one group")
    module.eval()
    before = {name: value.clone() for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    module(Inputs(torch.from_numpy(random_ids(model.schema, 60)).long()))
    for name, value in before.items():
        torch.testing.assert_close(module.state_dict()[name], value)


@pytest.mark.parametrize("distance", ["none", "mean", "popularity"])
def test_gradients_are_those_of_the_equations(distance):
    """Equations 5 to 8 as they stand, over all codewords, left to autograd in float64."""
    weight, temperature = 0.7, 0.5
    model, module, embeddings, counts = moving("one group", distance=distance, temperature=temperature)
    ids = random_ids(model.schema, 50, missing=0.2)
    targets = torch.from_numpy(np.random.default_rng(1).random(50))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    (layer,) = straight_through_layers(module)
    logits = module(Inputs(torch.from_numpy(ids).long()))
    (bce(logits, targets.float()) + weight * layer.distance).backward()

    coded = [column for column, field in enumerate(model.fields) if not field.quantizer.raw]
    latents = {c: torch.tensor(embeddings[c], dtype=torch.float64, requires_grad=True) for c in coded}
    layout = {
        c: [torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in model.fields[c].tables] for c in coded
    }
    popularity = {c: np.log1p(counts[c]) if distance == "popularity" else np.ones(len(counts[c])) for c in coded}
    total = sum(w.sum() for w in popularity.values()) if distance != "none" else np.inf
    vectors, plain_distance = [], torch.zeros((), dtype=torch.float64)
    for column, field in enumerate(model.fields):
        if column not in coded:
            vectors.append(torch.tensor(field.tables[0], dtype=torch.float64)[np.maximum(ids[:, column], 0)])
            continue
        subvectors = []
        for d, (start, end) in enumerate(subspace_bounds(model.dim, len(field.tables))):
            v, c = latents[column][:, start:end], layout[column][d]
            squares = ((v[:, None] - c[None]) ** 2).sum(dim=2)
            start_squares = ((embeddings[column][:, start:end] - field.tables[d][field.codes[:, d]]) ** 2).sum(axis=1)
            soft = torch.softmax(-squares / (temperature * start_squares.mean()), dim=1)
            hard = torch.nn.functional.one_hot(squares.argmin(dim=1), len(c))
            subvectors.append((soft + (hard - soft).detach()) @ c)
        chosen = torch.cat(subvectors, dim=1)
        apart = (latents[column] - chosen).norm(dim=1)
        seen = torch.from_numpy(np.isin(np.arange(len(apart)), ids[:, column]))
        plain_distance = plain_distance + (torch.from_numpy(popularity[column] / total) * apart)[seen].sum()
        vectors.append(chosen[np.maximum(ids[:, column], 0)])
    present = torch.from_numpy(ids >= 0)
    stacked = torch.stack(vectors, dim=1) * present[:, :, None]
    plain = 0.5 * ((stacked.sum(dim=1) ** 2).sum(dim=1) - (stacked**2).sum(dim=(1, 2)))
    linear = logits.detach().double() - plain.detach()  # bias and linear weights: constants here
    (bce(plain + linear, targets) + weight * plain_distance).backward()

    assert np.isclose(layer.distance.item(), float(plain_distance.detach()), rtol=1e-4)
    start = 0
    for column in coded:
        end = start + len(embeddings[column])
        np.testing.assert_allclose(layer.latents.grad.to_dense()[start:end], latents[column].grad, rtol=2e-3, atol=2e-6)
        start = end
    lies, gradient = layer.assignment.layout, layer.assignment.table.grad.numpy()
    gradients = lies.store(model.fields, gradient, lies.rows_of(model.fields))
    for column in coded:
        for found, book in zip(gradients[column].tables, layout[column], strict=True):
            np.testing.assert_allclose(found, book.grad, rtol=2e-3, atol=2e-6)


def test_a_codebook_that_moves_takes_its_categories_along():
    model, module, _, _ = moving("one group")
    (layer,) = straight_through_layers(module)
    ids = torch.from_numpy(random_ids(model.schema, 300, missing=0.0)).long()
    module(Inputs(ids))
    codes = layer.assignment.codes.clone()
    with torch.no_grad():
        layer.assignment.table[:-1] += 0.5
    module(Inputs(ids))
    torch.testing.assert_close(layer.assignment.codes, codes)


def test_the_weights_of_the_distance_loss():
    counts = np.array([0, 1, 9, 99])
    np.testing.assert_allclose(
        distance_weights(counts, "popularity"), np.log1p(counts) / np.log1p(counts).sum(), rtol=1e-6
    )
    np.testing.assert_allclose(distance_weights(counts, "mean"), 0.25)
    assert not distance_weights(counts, "none").any()
    assert not distance_weights(np.zeros(3, dtype=np.int64), "popularity").any()


def test_a_step_of_the_latents():
    """One step size for all categories of a field's subspace, in units of their distance to their codewords."""
    _, module, _, _ = moving("two groups")
    layer = straight_through_layers(module)[0]  # two subspaces
    optimizer = LatentSGD(layer.latents, layer.assignment, lr=0.1)
    before = layer.latents.detach().clone()
    rows = torch.tensor([3, 7, 20])
    values = torch.randn(3, layer.latents.shape[1], generator=torch.Generator().manual_seed(0))
    layer.latents.grad = torch.sparse_coo_tensor(rows[None], values, layer.latents.shape, check_invariants=True)
    optimizer.step()
    pulls = values.numpy().reshape(3, 2, -1)
    size = np.sqrt((pulls**2).mean(axis=(0, 2)))
    units = layer.assignment.units[0].numpy()
    expected = before.clone()
    expected[rows] -= torch.from_numpy((0.1 * pulls * (units / size)[None, :, None]).reshape(3, -1))
    torch.testing.assert_close(layer.latents.detach(), expected)


@pytest.mark.parametrize(
    "wrong",
    [{"distance": "far"}, {"distance_weight": -1.0}, {"temperature": 0.0}, {"latent_lr": 0.0}, {"candidates": 1}],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        MovingOptions(**wrong)


def train_a_little(module, ids):
    optimizers = [torch.optim.Adam([*module.tables(), *module.others()], lr=0.01)]
    optimizers += [LatentSGD(layer.latents, layer.assignment, lr=0.3) for layer in straight_through_layers(module)]
    for _ in range(4):
        for optimizer in optimizers:
            optimizer.zero_grad()
        logits = module(Inputs(ids))
        (torch.sigmoid(logits).sum() + sum(layer.distance for layer in straight_through_layers(module))).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("shape", SHAPES)
def test_only_categories_of_the_batch_move(shape):
    model, module, _, _ = moving(shape)
    ids = random_ids(model.schema, 12, missing=0.3)
    before = [
        (layer.latents.detach().clone(), layer.assignment.codes.clone()) for layer in straight_through_layers(module)
    ]
    train_a_little(module, torch.from_numpy(ids).long())
    columns = [column for column, field in enumerate(model.fields) if not field.quantizer.raw]
    for layer, (latents, codes) in zip(straight_through_layers(module), before, strict=True):
        starts = dict(zip(layer.assignment.layout.columns, [0, *layer.assignment.ends.tolist()], strict=False))
        seen = {starts[c] + i for c in columns if c in starts for i in ids[:, c].tolist() if i >= 0}
        assert sorted(layer.latents.grad.coalesce().indices()[0].tolist()) == sorted(seen)
        others = [row for row in range(len(latents)) if row not in seen]
        assert others[-1] == len(latents) - 1
        assert torch.equal(layer.latents.detach()[others], latents[others])
        assert torch.equal(layer.assignment.codes[others], codes[others])
        assert not torch.equal(layer.latents.detach(), latents)


@pytest.mark.parametrize("shape", SHAPES)
def test_missing_values_and_filling_stay_zero(shape):
    model, module, _, _ = moving(shape)
    ids = random_ids(model.schema, 100, missing=0.4)
    train_a_little(module, torch.from_numpy(ids).long())
    for layer in straight_through_layers(module):
        layout = layer.assignment.layout
        assert not layer.assignment.table[-1].any()
        assert not layer.latents[-1].any()
        latents = layer.latents.detach().view(-1, layout.subspaces, layout.width)
        for d, size in enumerate(layout.sizes):
            first, count = int(layout.starts[d].min()), int(layout.lengths[d].sum())
            assert not layer.assignment.table[first : first + count, size:].any()
            assert not latents[:, d, size:].any()
    with torch.no_grad():
        logits = module.eval()(Inputs(torch.from_numpy(ids).long()))
    # A row of missing values alone has no more than the bias.
    nothing = module(Inputs(torch.full((1, len(model.fields)), -1)))
    torch.testing.assert_close(nothing[0], module.bias)
    assert torch.isfinite(logits).all()


def test_latents_are_codewords_and_residuals():
    """What a category is near to does not change when its codeword does: the residual is to the new one."""
    model, module, embeddings, _ = moving("one group")
    (layer,) = straight_through_layers(module)
    module(Inputs(torch.from_numpy(random_ids(model.schema, 500, missing=0.0)).long()))
    everything = torch.arange(len(layer.latents) - 1)
    latents = layer.assignment.current(everything).flatten(1) + layer.latents.detach()[:-1]
    expected = np.concatenate([embeddings[column] for column in layer.assignment.layout.columns])
    np.testing.assert_allclose(latents, expected, atol=1e-6)
    stored = module.store(model)
    moved = [(a.codes != b.codes).any() for a, b in zip(stored.fields, model.fields, strict=True) if a.codes.size]
    assert any(moved)

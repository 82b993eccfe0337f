"""Architecture weights: draws, gradients, and equation 14."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.methods.xlightfm.gumbel import Architecture, WeightDescent
from fmcompress.methods.xlightfm.options import SpaceOptions
from fmcompress.methods.xlightfm.search_space import lay_out
from tests.models import origin, random_checkpoint

CHECKPOINT = random_checkpoint((90, 50, 30), dim=4)
OPTIONS = SpaceOptions(subspaces=2, candidates=(4, 8, 16, 32), linear_codewords=4)
SMALLEST = lay_out(CHECKPOINT, OPTIONS, origin()).file_bytes(np.zeros((3, 2), dtype=np.int64))
LARGEST = lay_out(CHECKPOINT, OPTIONS, origin()).largest_bytes


def begun(budget_bytes, scope="codebook", seed=0):
    return Architecture(lay_out(CHECKPOINT, OPTIONS, origin(budget_bytes=budget_bytes)), scope, seed)


def put(architecture, weights):
    """Give an architecture weights, of unit length, and return them."""
    found = torch.tensor(weights, dtype=torch.float32).broadcast_to(architecture.weights.shape)
    with torch.no_grad():
        architecture.weights.copy_(found / found.norm(dim=2, keepdim=True))
    return architecture.weights.detach().clone()


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10_000), share=st.floats(0, 1), scope=st.sampled_from(["codebook", "field"]),
    lr=st.sampled_from([0.01, 0.3]),
)  # fmt: skip
def test_whatever_gradients_do_the_equation_holds_and_the_result_fits(seed, share, scope, lr):
    """Equation 14 as it is written. It alone promises no budget: the selected weight may fall below a larger one's."""
    found = begun(SMALLEST + int(share * (LARGEST - SMALLEST)), scope, seed)
    space = lay_out(CHECKPOINT, OPTIONS, origin(budget_bytes=SMALLEST + int(share * (LARGEST - SMALLEST))))
    descent = WeightDescent(found.weights, lr)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        before = found.weights.detach().clone()
        gradient = rng.normal(size=before.shape) - rng.random() * np.arange(4)
        found.weights.grad = torch.tensor(gradient, dtype=torch.float32)
        descent.step()
        moved = found.weights.detach().double().numpy()
        found.hold(before)
        selected = np.broadcast_to(moved.argmax(axis=2), (3, 2))
        for field, group in np.ndindex(*moved.shape[:2]):
            last, alpha = before[field, group].double().numpy(), moved[field, group].copy()
            if not space.fits(selected):
                above = np.arange(4) >= last.argmax()
                alpha[above] = np.minimum(alpha, last)[above]
            expected = alpha / np.linalg.norm(alpha)
            np.testing.assert_allclose(found.weights[field, group].detach(), expected, rtol=1e-4, atol=1e-5)
        assert found.weights.min() > 0
    chosen = found.most_probable()
    assert space.fits(chosen)
    if scope == "field":
        np.testing.assert_array_equal(chosen[:, 0], chosen[:, 1])


def test_over_the_limit_smaller_candidates_may_grow_and_the_selected_and_larger_may_not():
    found = begun(SMALLEST)
    before = put(found, [2.0, 4.0, 1.0, 1.0])  # 8 codewords: over a budget of 4 everywhere
    with torch.no_grad():
        found.weights.copy_(before * torch.tensor([1.5, 1.5, 0.5, 1.5]))
    found.hold(before)
    ratio = found.weights.detach() / before
    # Before they are brought back to unit length: 1.5 as it came, 1, 0.5 as it came, 1.
    torch.testing.assert_close(ratio / ratio[:, :, 1:2], torch.tensor([1.5, 1, 0.5, 1]).expand(3, 2, 4))


def test_within_the_limit_all_may_grow():
    found = begun(LARGEST)
    before = put(found, [2.0, 4.0, 1.0, 1.0])
    with torch.no_grad():
        found.weights.copy_(before * torch.tensor([1.0, 1.0, 1.0, 9.0]))
    found.hold(before)
    assert (found.selected() == 3).all()
    torch.testing.assert_close(found.weights.detach().norm(dim=2), torch.ones(3, 2))


@pytest.mark.parametrize("scope", ["codebook", "field"])
def test_draws_are_from_the_distribution_of_the_weights(scope):
    """At a low temperature a draw is one-hot, and candidates are drawn in proportion to their weights."""
    found = begun(LARGEST, scope)
    weights = put(found, [4.0, 3.0, 2.0, 1.0])[0, 0]
    draws = torch.stack([found.sample(0.01) for _ in range(2000)]).detach()
    torch.testing.assert_close(draws.sum(dim=3), torch.ones(2000, 3, 2))
    assert (draws.max(dim=3).values > 0.95).float().mean() > 0.9
    shares = torch.nn.functional.one_hot(draws.argmax(dim=3), 4).float().mean(dim=0)
    torch.testing.assert_close(shares, (weights / weights.sum()).expand(3, 2, 4), atol=0.05, rtol=0)
    assert torch.equal(draws[:, :, 0], draws[:, :, 1]) == (scope == "field")


def test_draws_are_the_same_for_the_same_seed_and_go_on_from_a_kept_state():
    first, second, other = begun(LARGEST, seed=3), begun(LARGEST, seed=3), begun(LARGEST, seed=4)
    assert torch.equal(first.sample(0.5), second.sample(0.5))
    assert not torch.equal(first.sample(0.5), other.sample(0.5))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.sample(0.5), second.sample(0.5))


def test_gradients_reach_the_weights_through_a_draw():
    found = begun(LARGEST)
    found.sample(0.7)[:, :, 2].sum().backward()
    assert (found.weights.grad[:, :, 2] > 0).all()
    assert (found.weights.grad[:, :, [0, 1, 3]] < 0).all()

"""The assignment of codewords and its gradients, against equations 6 to 8 as they are written, left to autograd."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.methods.lightfm.straight_through import assign, nearest_rows

seeds = st.integers(0, 10_000)


class Books:
    """Random codebooks in one table, whose last row stands for missing values."""

    def __init__(self, *sizes, width=3, seed=0):
        rng = np.random.default_rng(seed)
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.lengths = np.array(sizes)
        self.null = sum(sizes)
        table = rng.normal(size=(self.null + 1, width))
        table[-1] = 0
        self.table = torch.tensor(table, dtype=torch.float32)
        scales = rng.uniform(0.2, 5, len(sizes))
        self.temperatures = torch.tensor([*np.repeat(scales, sizes), 1.0], dtype=torch.float32)

    def neighbours(self, candidates=10**6):
        return nearest_rows(self.table, self.starts, self.lengths, candidates)

    def draw(self, count, *, seed=0):
        """Return latents, and the codewords that they have chosen before: any ones of their codebook."""
        rng = np.random.default_rng(seed)
        latents = torch.tensor(rng.normal(size=(count, self.table.shape[1])), dtype=torch.float32)
        return latents, torch.from_numpy(rng.integers(0, self.null, count))

    def rows_beside(self, row):
        """Return all rows of the codebook that a row is in."""
        book = np.searchsorted(self.starts, row, side="right") - 1
        return list(range(self.starts[book], self.starts[book] + self.lengths[book]))


def literally(latents, table, allowed, temperatures):
    """Return q of each latent, chosen from the rows it is allowed, by equations 6 to 8 in float64."""
    found = []
    for v, rows, temperature in zip(latents, allowed, temperatures, strict=True):
        codewords = table[rows]
        s = -((v - codewords) ** 2).sum(dim=1)
        b = torch.nn.functional.one_hot(s.argmax(), len(rows)).to(v.dtype)
        b_soft = torch.softmax(s / temperature, dim=0)
        b_hat = b_soft + (b - b_soft).detach()
        found.append(b_hat @ codewords)
    return torch.stack(found)


def compare(books, latents, codes, neighbours, allowed):
    """Check assignment and gradients of a loss that weighs all of q's coordinates differently."""
    weights = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    v, table = latents.clone().requires_grad_(), books.table.clone().requires_grad_()
    q, rows = assign(v, table, codes, neighbours, books.temperatures)
    (torch.tanh(q) * weights).sum().backward()

    plain_v, plain_table = latents.double().requires_grad_(), books.table.double().requires_grad_()
    plain_q = literally(plain_v, plain_table, allowed, books.temperatures[codes].double())
    (torch.tanh(plain_q) * weights).sum().backward()

    np.testing.assert_allclose(q.detach(), plain_q.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(q, table[rows])
    np.testing.assert_allclose(v.grad, plain_v.grad, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(table.grad, plain_table.grad, rtol=1e-3, atol=2e-5)
    return rows


@settings(deadline=None, max_examples=30)
@given(
    seed=seeds, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), width=st.integers(1, 5), n=st.integers(1, 40)
)
def test_with_all_codewords_as_candidates_it_is_the_equations(seed, sizes, width, n):
    books = Books(*sizes, width=width, seed=seed)
    latents, codes = books.draw(n, seed=seed + 1)
    allowed = [books.rows_beside(code) for code in codes.tolist()]
    rows = compare(books, latents, codes, books.neighbours(), allowed)
    nearest = [beside[int(((v - books.table[beside]) ** 2).sum(dim=1).argmin())]
               for v, beside in zip(latents, allowed, strict=True)]  # fmt: skip
    assert rows.tolist() == nearest


@settings(deadline=None, max_examples=20)
@given(seed=seeds, candidates=st.integers(2, 6))
def test_with_few_candidates_it_is_the_equations_among_them(seed, candidates):
    books = Books(12, 3, 7, seed=seed)
    latents, codes = books.draw(30, seed=seed + 1)
    neighbours = books.neighbours(candidates)
    allowed = [[row for row in neighbours[code].tolist() if row != books.null] for code in codes.tolist()]
    assert {len(rows) for rows in allowed} <= {min(candidates, size) for size in (12, 3, 7)}
    compare(books, latents, codes, neighbours, allowed)


def test_softmax_spreads_the_gradient_and_a_cold_one_does_not():
    """Beyond the chosen codeword others get a gradient only where the temperature lets them."""
    books = Books(8)
    latents, codes = books.draw(1)
    found = {}
    for temperature in (1.0, 1e-4):
        table = books.table.clone().requires_grad_()
        q, _ = assign(latents, table, codes, books.neighbours(), torch.full((9,), temperature))
        q.sum().backward()
        found[temperature] = int((table.grad.abs().sum(dim=1) > 1e-6).sum())
    assert found == {1.0: 8, 1e-4: 1}


def test_missing_values_choose_the_last_row_and_get_no_gradient():
    books = Books(5, 4)
    latents, codes = books.draw(6)
    codes[2] = books.null
    latents[2] = 0
    v, table = latents.clone().requires_grad_(), books.table.clone().requires_grad_()
    q, rows = assign(v, table, codes, books.neighbours(), books.temperatures)
    (q**2 + q).sum().backward()
    assert rows[2] == books.null
    assert not q[2].any()
    assert not v.grad[2].any()
    assert not table.grad[-1].any()
    assert v.grad[[0, 1, 3, 4, 5]].abs().sum(dim=1).min() > 0


@settings(deadline=None, max_examples=30)
@given(
    seed=seeds, sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), candidates=st.integers(1, 15),
    equal=st.booleans(),
)  # fmt: skip
def test_the_nearest_rows(seed, sizes, candidates, equal):
    books = Books(*sizes, seed=seed)
    if equal:
        books.table[:-1] = books.table[:-1].round()
    found = books.neighbours(candidates)
    width = min(candidates, max(sizes))
    assert found.shape == (books.null + 1, width)
    assert found[-1].tolist() == [books.null] * width
    for row in range(books.null):
        near, beside = found[row].tolist(), books.rows_beside(row)
        count = min(width, len(beside))
        assert near[0] == row
        assert near[count:] == [books.null] * (width - count)
        assert len(set(near[:count])) == count
        assert set(near[:count]) <= set(beside)
        distances = ((books.table[beside] - books.table[row]) ** 2).sum(dim=1).sort().values
        of_near = ((books.table[near[:count]] - books.table[row]) ** 2).sum(dim=1)
        np.testing.assert_allclose(of_near, distances[:count], rtol=1e-4, atol=1e-5)


def test_the_nearest_rows_of_codebooks_larger_than_a_chunk():
    books = Books(300, 2, width=2)
    found = books.neighbours(4)
    squares = ((books.table[:300, None] - books.table[None, :300]) ** 2).sum(dim=2)
    np.testing.assert_array_equal(found[:300].sort(dim=1).values, squares.topk(4, largest=False).indices.sort().values)
    assert found[300:302].tolist() == [[300, 301, 302, 302], [301, 300, 302, 302]]


@pytest.mark.parametrize("count", [1, 50])
def test_vectors_of_one_codebook_add_their_gradients_up(count):
    books = Books(4)
    latents, codes = books.draw(1)
    many = [part.repeat(count, *[1] * (part.dim() - 1)) for part in (latents, codes)]
    gradients = []
    for v, chosen in ((latents, codes), many):
        table = books.table.clone().requires_grad_()
        assign(v, table, chosen, books.neighbours(), books.temperatures)[0].sum().backward()
        gradients.append(table.grad)
    np.testing.assert_allclose(gradients[1], count * gradients[0], rtol=1e-4, atol=1e-5)


def test_no_codeword_is_chosen_from_another_codebook():
    books = Books(3, 5, 2, 6)
    latents, codes = books.draw(200)
    rows = assign(latents, books.table, codes, books.neighbours(), books.temperatures)[1]
    for start, end in pairwise([*books.starts.tolist(), books.null]):
        assert ((codes >= start) & (codes < end) == (rows >= start) & (rows < end)).all()

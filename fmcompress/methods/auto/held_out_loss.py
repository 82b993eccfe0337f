"""The loss of held-out rows: what a candidate does to rows that the factorization machine was not trained on.

With q_i in place of v_i in one field, the logit of a row becomes exactly

    z + (q_i − v_i) · (S − v_i),        S = Σ_j v_j

and z + Δw_i with another linear weight. (Where a field has several values in a row S − v_i is c_j s (S − q) for each
of them, with q their pooled embedding; and the shifts of two terms of one table are multiplied too.) The shift is a sum
over subspaces, so one vectorised pass over the rows measures a codebook, and sums of those measure all candidates.
Rises may be negative: where the factorization machine overfits, a coarser field predicts better than its own
embeddings.

With a network the logit is not linear in q_i: its derivative takes the place of S − v_i, and the true loss of the rows
decides among whole plans.

One field's rise takes all others as they are. What coarse fields do to each other is found by measuring again with the
fields as they are to be stored in place of their own embeddings, until the allocation stays the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np

from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import WHOLE, shuffled
from fmcompress.devices.working import working_device
from fmcompress.evaluation.calibration import fit_calibration, fit_offset
from fmcompress.fm.bags import Bag
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import stacked
from fmcompress.methods.auto.candidates import ByTier, FieldCandidate, TierCandidates, WeightsCandidate, map_tiers
from fmcompress.methods.auto.held_out_rows import HeldOutModel, HeldOutScores, held_out_model
from fmcompress.methods.auto.held_out_shifts import LogitShifts, RowUses, by_category, row_uses
from fmcompress.methods.auto.held_out_tiers import SeenCategories, TierCodebooks, seen_categories
from fmcompress.progress import Progress
from fmcompress.quantization.field_weights import FieldWeights
from fmcompress.quantization.parallel import side_by_side
from fmcompress.types import Float32Array, Float64Array, UInt8Array

_ROWS = 50_000
_BATCH_ROWS = 16_384
_LEAST_OF_A_LABEL = 1_000
# Losses, of some rows with all candidates, that stay in the cache.
_BLOCK_LOSSES = 16_384
# Standard errors that count against a measured rise.
_STANDARD_ERRORS = 1.0


def draw_held_out(rows: Rows, *, seed: int) -> Batch:
    """Return some 50,000 rows to measure on, or all where there are fewer."""
    batches: list[Batch] = []
    for batch in shuffled(rows, _BATCH_ROWS, seed=seed, shares=WHOLE):
        batches.append(batch)
        if sum(map(len, batches)) >= _ROWS:
            break
    return concatenate(batches).take(slice(_ROWS))


def enough_rows(batch: Batch, link: Link) -> bool:
    """Return whether candidates can be measured on these rows: there must be 1,000 of each label, or 2,000 numbers.

    Where there are fewer, the best of many candidates is the one that chance favours most.
    """
    if link.regression:
        return len(batch) >= 2 * _LEAST_OF_A_LABEL
    positives = int(batch.labels.sum())
    return min(positives, len(batch) - positives) >= _LEAST_OF_A_LABEL


@dataclass(frozen=True)
class HeldOutLoss:
    """Held-out rows, and the tiers of each field as they see them; see ``prepare_held_out``.

    Attributes:
        model: what scores the rows.
        link: from logits to losses.
        labels: of the rows, float64 (rows,).
        seen: the categories of each field that the rows hold, and their weights as they are at present.
        tiers: of each way to split each field.
        progress: told of each tier.
        calibrated: whether logits are to be calibrated when all is stored: then they are here, too.
    """

    model: HeldOutModel
    link: Link
    labels: Float64Array
    seen: list[SeenCategories]
    tiers: list[list[list[TierCodebooks]]]
    progress: Progress
    calibrated: bool = False

    def measured(self) -> ByTier:
        """Return the candidates of each tier of each split of each field, measured with the other fields as now."""
        scores = self.model.score(self.seen)
        logits = scores.logits
        if self.calibrated:  # what all fields shift together costs nothing; a scale would take another product
            logits = logits + fit_offset(logits, self.labels, self.link)
        losses = self.link.losses(logits, self.labels)
        works = [
            partial(self._measure, codebooks, seen, scores, logits, losses)
            for seen, splits in zip(self.seen, self.tiers, strict=True)
            for split in splits
            for codebooks in split
        ]
        found = iter(list(side_by_side(works, title="pricing on held-out rows", progress=self.progress)))
        return map_tiers(lambda _: next(found), self.tiers)

    def expected(self) -> ByTier:
        """Return the same candidates with the expected loss of each."""
        return map_tiers(TierCodebooks.expected, self.tiers)

    def loss(self) -> float:
        """Return the mean loss of the rows with the fields as they are now, in nats."""
        logits = self.model.score(self.seen).logits
        if self.calibrated:
            by = fit_calibration(logits, self.labels.astype(np.float32), self.link)
            logits = by.scale * logits + by.offset
        return float(self.link.losses(logits, self.labels).mean())

    def substitute(self, chosen: Sequence[FieldCandidate]) -> None:
        """Let each field stand as a candidate stores it from now on."""
        for seen, splits, candidate in zip(self.seen, self.tiers, chosen, strict=True):
            for codebooks, stored in zip(splits[candidate.split], candidate.tiers, strict=True):
                quantizer, places = stored.quantizer, codebooks.tier.places
                linear = (quantizer.linear_codewords,) if quantizer.linear_codewords else ()
                embeddings = WeightsCandidate(quantizer.codewords, 0.0, stored.metric)
                seen.embeddings[places] = codebooks.decoded(embeddings, quantizer)
                seen.linear[places] = codebooks.decoded_linear(linear)

    def _measure(
        self,
        codebooks: TierCodebooks,
        seen: SeenCategories,
        scores: HeldOutScores,
        logits: Float64Array,
        losses: Float64Array,
    ) -> TierCandidates:
        """Return the candidates of a tier, each with what it does to the mean loss of the rows."""
        number = np.full(len(seen.categories), -1)
        number[codebooks.tier.places] = np.arange(len(codebooks.tier.places))
        own = np.flatnonzero(number[seen.place] >= 0)
        own = own[by_category(number[seen.place[own]])]
        of_uses, place = row_uses(seen, own), seen.place[own]
        own_rows = of_uses.rows
        of_rows = self.link, logits[own_rows], self.labels[own_rows], losses[own_rows]
        own_shifts = LogitShifts(codebooks, number[place], seen.embeddings[place], scores.slopes(seen, own))
        uses, shifts, rises = _where_work_is_done(of_uses, own_shifts, of_rows)

        def embeddings(candidates: Sequence[WeightsCandidate]) -> Any:
            found = uses.summed(shifts.of(candidates))
            if scores.pairwise and not uses.once:
                for column, one in enumerate(candidates):
                    found[:, column] += uses.products(partial(shifts.vectors, one))
            return found

        def priced(candidates: Sequence[WeightsCandidate], of_rows: Any) -> list[WeightsCandidate]:
            sums, squares = rises.sums(of_rows)
            return with_rises(candidates, sums, squares, len(losses))

        factors = np.float32(1) if seen.pooled is None else seen.pooled.linear[own]
        linear = [WeightsCandidate(size, 0.0) for size in codebooks.linear_sizes]
        of_linear = [
            factors * (codebooks.decoded_linear(one.codewords)[number[place]] - seen.linear[place]) for one in linear
        ]
        return TierCandidates.of(
            codebooks.tier.weights,
            [one for some in own_shifts.chunks(codebooks.candidates) for one in priced(some, embeddings(some))],
            priced(linear, uses.summed(np.stack(of_linear, axis=1))),
            compact=codebooks.compact,
        )


@dataclass(frozen=True)
class _HostRises:
    """The rows that a tier is in: logits, labels and losses as they are, float64 (n,)."""

    link: Link
    logits: Float64Array
    labels: Float64Array
    losses: Float64Array

    def sums(self, shifts: Float32Array) -> tuple[Float64Array, Float64Array]:
        """Return Σ and Σ² of the rises of the loss with each candidate, float64 (candidates,).

        Args:
            shifts: what they add to the logits, float32 (n, candidates).
        """
        sums, squares = np.zeros((2, shifts.shape[1]))
        rows = max(1, _BLOCK_LOSSES // shifts.shape[1])
        for start in range(0, len(shifts), rows):
            block = slice(start, start + rows)
            rises = self.link.losses(self.logits[block, None] + shifts[block], self.labels[block, None])
            rises -= self.losses[block, None]
            sums += rises.sum(axis=0)
            squares += np.einsum("rc,rc->c", rises, rises)
        return sums, squares


def with_rises(
    candidates: Sequence[WeightsCandidate], sums: Float64Array, squares: Float64Array, rows: int
) -> list[WeightsCandidate]:
    """Return candidates with what they do to the mean loss of all rows.

    Args:
        candidates: ways to store embeddings or linear weights.
        sums: of the rises of the loss with each, float64 (candidates,).
        squares: the sums of their squares, float64 (candidates,).
        rows: number of all rows.
    """
    means = sums / rows
    errors = _STANDARD_ERRORS * np.sqrt(np.maximum(squares / rows - means**2, 0.0) / rows)
    found = zip(candidates, means.tolist(), errors.tolist(), strict=True)
    return [replace(one, error=mean, standard_error=error) for one, mean, error in found]


def _where_work_is_done(
    uses: RowUses, shifts: LogitShifts, of_rows: tuple[Link, Float64Array, Float64Array, Float64Array]
) -> tuple[Any, Any, Any]:
    """Return uses, shifts and rises of a tier: in main memory, or on the device that heavy work is done on."""
    device = working_device()
    if device is None:
        return uses, shifts, _HostRises(*of_rows)
    from fmcompress.methods.auto.device_shifts import DeviceRises, DeviceShifts, DeviceUses

    return DeviceUses(uses, device), DeviceShifts(shifts, device), DeviceRises.of(*of_rows, device)


def prepare_held_out(
    weights: Sequence[FieldWeights],
    checkpoint: FMCheckpoint,
    splits: Sequence[Sequence[UInt8Array]],
    batch: Batch,
    *,
    seed: int,
    compact: bool = False,
    calibrated: bool = False,
    progress: Progress,
) -> HeldOutLoss:
    """Make the nested codebooks of all tiers for the categories that held-out rows hold.

    Args:
        weights: of each field.
        checkpoint: the factorization machine.
        splits: ways to split each field: the tier of each category, uint8 (cardinality,).
        batch: the rows.
        seed: of k-means.
        compact: whether they are stored in the compact layout.
        calibrated: whether logits are to be calibrated when all is stored.
        progress: told of each codebook.
    """
    schema = checkpoint.schema
    bags: list[list[tuple[Bag, Pooling, int]]] = [[] for _ in schema.fields]
    for name, bag in batch.bags.items():
        column = schema.id_names.index(name)
        bags[schema.tables[column]].append((bag, schema.poolings[name], column))
    columns = enumerate(zip(weights, stacked(batch.ids, schema).T, bags, strict=True))
    seen = [
        seen_categories(field, own, len(batch), np.flatnonzero(schema.tables == table), pooled)
        for table, (field, own, pooled) in columns
    ]
    tiers = [[list(one.tiers(of)) for of in ways] for one, ways in zip(seen, splits, strict=True)]
    works = [tier.works(seed) for ways in tiers for way in ways for tier in way]
    made = iter(list(side_by_side(list(chain.from_iterable(works)), title="pricing quantizers", progress=progress)))
    of_tier = len(works[0])
    return HeldOutLoss(
        held_out_model(checkpoint, batch.values),
        checkpoint.link_function,
        batch.labels.astype(np.float64),
        seen,
        map_tiers(lambda tier: TierCodebooks.of(tier, list(islice(made, of_tier)), compact=compact), tiers),
        progress,
        calibrated,
    )

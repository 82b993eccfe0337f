"""Batches of validation rows, without end."""

from collections.abc import Iterator
from itertools import islice

from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import shuffled

# Keeps their order apart from that of the training rows.
_SEED = 500_009


class EndlessBatches:
    """Batches of shuffled rows, pass after pass.

    Attributes:
        taken: number of batches taken so far.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        self._per_pass = -(-rows.rows // batch_size)
        self.skip_to(0)

    def skip_to(self, taken: int) -> None:
        """Go on as if so many batches had been taken."""
        self.taken = taken
        self._batches = self._pass()

    def _pass(self) -> Iterator[Batch]:
        number, done = divmod(self.taken, self._per_pass)
        batches = shuffled(self._rows, self._batch_size, seed=(self._seed + _SEED) * 1_000_003 + number)
        return islice(batches, done, None)

    def __next__(self) -> Batch:
        for batch in self._batches:
            self.taken += 1
            return batch
        self._batches = self._pass()
        return next(self)

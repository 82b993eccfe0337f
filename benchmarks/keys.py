"""Ten million hashed keys of 64 bits as a static structure: size, memory, time to build, look-ups a second.

``python -m benchmarks.keys 100000000`` measures another number of keys. Times are CPU seconds of one thread.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.timing import peak_bytes
from fmcompress.fm.hashed_keys import HashedKeys

_KEYS = 10_000_000
_LOOKUPS = 2_000_000
_BATCH = 4096
HEAD = ("", "bits a key", "in memory", "built in", "peak, building", "look-ups a second", "of unknown keys")


def run(count: int = _KEYS) -> list[tuple[str, ...]]:
    """Return rows of the table, under ``HEAD``: with 16 check bits, exact, and as sorted keys with ids in numpy."""
    with TemporaryDirectory() as folder:
        found = []
        for bits in ("16", "exact", "sorted"):
            command = [sys.executable, "-m", "benchmarks.keys", bits, str(count), str(Path(folder) / bits)]
            made, used = (
                subprocess.run([*command, step], check=True, capture_output=True, text=True).stdout.strip().split("|")
                for step in ("build", "find")
            )
            size, build, peak = made
            memory, known, unknown = used
            found.append((_name(bits), size, memory, build, peak, known, unknown))
    return found


def _name(bits: str) -> str:
    return {"16": "16 check bits", "exact": "exact", "sorted": "sorted keys and their ids, `np.searchsorted`"}[bits]


def _drawn(count: int, seed: int) -> np.ndarray:
    """Return keys, uint64 (keys,), that are different for different seeds, and all different."""
    return np.arange(seed << 40, (seed << 40) + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def _build(bits: str, count: int, path: Path) -> None:
    """Write the keys, and print size, time and peak."""
    keys = _drawn(count, 1)
    peak_bytes(anew=True)
    before = peak_bytes()
    start = time.process_time()
    if bits == "sorted":
        order = np.argsort(keys)
        data = np.concatenate([keys[order].view(np.uint8), order.astype(np.int32).view(np.uint8)])
    else:
        data = HashedKeys.of(keys, 16 if bits == "16" else "exact").data
    seconds, peak = time.process_time() - start, peak_bytes() - before
    data.tofile(path)
    print(f"{8 * len(data) / count:.2f}|{seconds:.2f} s|{8 * peak / count:.0f} bits a key")


def _find(bits: str, count: int, path: Path) -> None:
    """Map the keys, look some up, and print what that took of memory, and look-ups a second."""
    known = _drawn(count, 1)[np.random.default_rng(0).integers(0, count, _LOOKUPS)]
    unknown = _drawn(_LOOKUPS, 2)
    peak_bytes(anew=True)
    before = _resident()
    find = _sorted_find(path, count) if bits == "sorted" else HashedKeys.decode(np.memmap(path, np.uint8, "r")).find
    for start in range(0, _LOOKUPS, _BATCH):
        find(known[start : start + _BATCH])
    grown = _resident() - before
    rates = [_rate(partial(find, keys)) for keys in (known, unknown)]
    print(f"{8 * grown / count:.1f} bits a key|" + "|".join(f"{rate / 1e6:.1f} million" for rate in rates))


def _sorted_find(path: Path, count: int) -> Callable[[np.ndarray], np.ndarray]:
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    keys, ids = data[: 8 * count].view(np.uint64), data[8 * count :].view(np.int32)

    def find(wanted: np.ndarray) -> np.ndarray:
        places = np.minimum(np.searchsorted(keys, wanted), count - 1)
        return np.where(keys[places] == wanted, ids[places], -1)

    return find


def _rate(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return _LOOKUPS / (time.process_time() - start)


def _resident() -> int:
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        bits, count, path, step = sys.argv[1:]
        (_build if step == "build" else _find)(bits, int(count), Path(path))
    else:
        for row in (HEAD, *run(*map(int, sys.argv[1:]))):
            print(*row, sep=" | ")

"""Runs tests under other arithmetic than this machine's own: ``python -m tests.portable PATH...``

Each combination restricts instruction sets, takes other kernels in BLAS, other numbers of threads, and other generated
data. Libraries read all of it from the environment when they start; what came of it is printed first.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched
from numpy._core._multiarray_umath import __cpu_features__ as features

_IN_FORCE = """
import faiss, scipy.linalg, torch
from threadpoolctl import threadpool_info
from tests.conftest import SEED
from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched, __cpu_features__ as features
print("torch", torch.backends.cpu.get_cpu_capability(), "in", torch.get_num_threads(), "threads", end="; ")
print("BLAS", *{pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}, end="; ")
print("faiss", *faiss.get_compile_options().split()[1:], end="; ")
print("numpy", *[name for name in dispatched if features[name]] or ["baseline"], end="; ")
print("data", SEED)
"""


@dataclass(frozen=True)
class Combination:
    """Settings that libraries read when they start.

    Attributes:
        torch: the best instructions that its own kernels use.
        mkl: the same of MKL, which multiplies torch's matrices.
        blas: processor whose kernels numpy, scipy and faiss take for their matrices.
        faiss: the best instructions that it uses: in its newest wheels, and in older ones.
        numpy: the best instructions that it uses, of those that it chooses from at run time.
        threads: of all of them.
        seed: of generated data.
    """

    torch: str
    mkl: str
    blas: str
    faiss: tuple[str, str]
    numpy: str
    threads: int
    seed: int

    def environment(self) -> dict[str, str]:
        """Return the variables that say so."""
        kept = dispatched[: dispatched.index(self.numpy) + 1] if self.numpy in dispatched else []
        return {
            "ATEN_CPU_CAPABILITY": self.torch,
            "MKL_CBWR": self.mkl,
            "OPENBLAS_CORETYPE": self.blas,
            "FAISS_SIMD_LEVEL": self.faiss[0],
            "FAISS_OPT_LEVEL": self.faiss[1],
            "NPY_DISABLE_CPU_FEATURES": " ".join(n for n in dispatched if n not in kept and features[n]),
            "OMP_NUM_THREADS": str(self.threads),
            "OMP_WAIT_POLICY": "passive",  # threads that wait leave the cores to others
            "FM_TEST_THREADS": str(self.threads),
            "FM_TEST_SEED": str(self.seed),
        }


COMBINATIONS = {
    "plain": Combination("default", "COMPATIBLE", "Haswell", ("NONE", "generic"), "", threads=1, seed=1),
    "AVX2": Combination("avx2", "AVX2", "Zen", ("AVX2", "avx2"), "X86_V3", threads=4, seed=2),
    "AVX-512": Combination("avx512", "AVX512", "SkylakeX", ("AVX512", "avx512"), "AVX512_SPR", threads=2, seed=3),
}
_NEEDS = {"AVX-512": "AVX512_SKX"}
"""What a processor must have, for OpenBLAS does as it is told."""


def run(combination, paths):
    """Run tests under a combination; return pytest's closing line, without its frame, and whether all is well."""
    environment = os.environ | combination.environment()
    subprocess.run([sys.executable, "-W", "ignore", "-c", _IN_FORCE], env=environment, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *paths]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    line = ""
    for line in process.stdout:
        print(line, end="", flush=True)
    return line.strip(" =\n"), process.wait() == 0


def main(paths):
    found, well = [], True
    for name, combination in COMBINATIONS.items():
        if not features.get(_NEEDS.get(name, ""), True):
            found.append(f"{name}: this processor has none")
            continue
        print(f"\n{name}:", flush=True)
        start = time.monotonic()
        line, passed = run(combination, paths)
        well &= passed
        found.append(f"{name}: {re.sub(r' in .*', '', line)}, {time.monotonic() - start:.0f} s")
    print("", *found, sep="\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

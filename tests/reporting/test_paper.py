"""The paper's own count of memory, against its Table 2."""

import numpy as np
import pytest

from fmcompress.fm.quantizer import Quantizer
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.reporting.report import paper_params_mib

CRITEO = [
    *(49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4, 42646),
    *(5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571),
]
LIGHTFM = LightFM(subspaces=4, codewords=1024, linear_codewords=0)
AVAZU = [
    *(241, 8, 8, 3697, 4614, 25, 5481, 329, 31, 381763, 1611748, 6793, 6, 5, 2509, 9, 10, 432, 5, 68, 169, 61),
]


@pytest.mark.parametrize(
    ("cardinalities", "fm_mib", "lightfm_mib"),
    [(AVAZU, 246.34, 10.663), (CRITEO, 132.67, 7.380)],
    ids=["Avazu", "Criteo"],
)
def test_the_figures_of_table_2(cardinalities, fm_mib, lightfm_mib):
    fm = paper_params_mib(cardinalities, [Quantizer()] * len(cardinalities), 32)
    lightfm = paper_params_mib(cardinalities, LIGHTFM.quantizers(cardinalities, 32), 32)
    assert round(fm, 2) == fm_mib
    assert round(lightfm, 3) == lightfm_mib


@pytest.mark.parametrize(
    ("cardinalities", "raw_mib", "codebooks_mib", "codes_mib"),
    [(AVAZU, 0.17, 0.88, 9.62), (CRITEO, 0.34, 1.88, 5.17)],
    ids=["Avazu", "Criteo"],
)
def test_the_parts_of_lightfm(cardinalities, raw_mib, codebooks_mib, codes_mib):
    raw = [n for n in cardinalities if n < 1024]
    coded = [n for n in cardinalities if n >= 1024]
    quantizers = LIGHTFM.quantizers(coded, 32)
    total = paper_params_mib(coded, quantizers, 32)
    codes = sum(coded) * 4 * 10 / 8 / 2**20
    assert round(paper_params_mib(raw, [Quantizer()] * len(raw), 32), 2) == raw_mib
    assert (round(total - codes, 2), round(codes, 2)) == (codebooks_mib, codes_mib)


def test_the_linear_part_is_not_counted():
    with_linear, without = Quantizer((256,) * 2, 16), Quantizer((256,) * 2)
    assert paper_params_mib([5000], [with_linear], 32) == paper_params_mib([5000], [without], 32)


def test_a_field_with_no_more_categories_than_codewords_is_raw():
    raw, as_many, coded = LIGHTFM.quantizers([1023, 1024, 1025], 32)
    assert (raw, as_many, coded) == (Quantizer(), Quantizer(), Quantizer((1024,) * 4))
    assert np.isclose(paper_params_mib([1023], [raw], 32), 1023 * 32 * 4 / 2**20)

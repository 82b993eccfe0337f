"""The paper's Params at Criteo's and Avazu's cardinalities: as printed where the paper says enough, near where not."""

import pytest

from fmcompress.baselines.paper_params import paper_params
from fmcompress.errors import UsageError

AVAZU = (
    241, 8, 8, 3697, 4614, 25, 5481, 329, 31, 381763, 1611748, 6793, 6, 5, 2509, 9, 10, 432, 5, 68, 169, 61,
)  # fmt: skip
CRITEO = (
    49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4, 42646,
    5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571,
)  # fmt: skip
PRINTED = {
    "fm": (132.7, 246.3),
    "dfm": (4.14, 7.70),
    "lightfm": (7.38, 10.66),
    "qr": (16.74, 30.86),
    "md": (17.95, 22.74),
    "dhe": (40.34, 23.72),
}
APART = {"fm": 0.05, "dfm": 0.007, "lightfm": 0.005}  # digits are cut off or rounded
NEAR = {"qr": 0.01, "md": 0.05, "dhe": 0.05}  # of which the paper does not say enough


def test_cardinalities_are_those_of_the_papers_table_1():
    assert (sum(CRITEO), len(CRITEO)) == (1_086_810, 39)
    assert (sum(AVAZU), len(AVAZU)) == (2_018_012, 22)


@pytest.mark.parametrize("system", PRINTED)
def test_params_are_those_of_table_2(system):
    found = [paper_params(system, cardinalities) for cardinalities in (CRITEO, AVAZU)]
    if system in APART:
        assert found == pytest.approx(PRINTED[system], abs=APART[system])
    else:
        assert found == pytest.approx(PRINTED[system], rel=NEAR[system])


def test_dhe_with_one_network_a_field_comes_out_as_printed_on_criteo():
    assert round(paper_params("dhe", CRITEO), 2) == 40.34


def test_other_systems_are_refused():
    with pytest.raises(UsageError, match="system is 'xlightfm', expected fm, dfm"):
        paper_params("xlightfm", CRITEO)

"""Where an artifact comes from, and how well it predicts: there and back, with so many digits."""

import dataclasses
import json
import math

import pytest

from fmcompress.artifact import Quality
from fmcompress.artifact.header import decode, encode
from fmcompress.artifact.io import _header_bytes
from tests.artifact.crafted import LIBRARIES, SEAL
from tests.mixed import packed_mixed
from tests.models import origin, packed


def test_a_file_name_that_is_no_unicode_does_not_stand_in_the_way():
    header = packed(2, "3 raw raw", source=("tool", "caf\udce9.pt", "0" * 64)).header
    assert decode(encode(header, SEAL))[0].origin.source[1] == "caf?.pt"
    assert header.header_bytes == len(_header_bytes(header, SEAL))


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.8012345, "0.80123"), (1.0, "1.0"), (0.999996, "1.0"), (12.345678, "12.3457"), (1e7, "99999.0"), (-1.0, "0.0")],
)
def test_scores_have_five_decimals_or_fewer(score, text):
    header = packed(2, "3 raw raw", quality={"artifact": Quality(10, score, math.nan)}).header
    assert f'"quality":[10,null,null,[{text},null]]' in encode(header, SEAL)


def test_a_score_that_does_not_exist_is_null():
    header = packed(2, "3 raw raw").header
    nothing = Quality(10, math.nan, 0.25)
    header = dataclasses.replace(header, errors=(math.nan,), origin=origin(quality=False, libraries={}))
    header = dataclasses.replace(header, origin=dataclasses.replace(header.origin, quality={"source": nothing}))
    found, _ = decode(encode(header, SEAL))
    assert json.loads(encode(header, SEAL))["quality"] == [10, [None, 0.25], None, None]
    assert math.isnan(found.origin.quality["source"].auc)
    assert math.isnan(found.errors[0])


@pytest.mark.parametrize(
    ("rmse", "text"),
    [
        (0.8012345, "0.801234"), (0.0, "0.0"), (1e-12, "0.0"), (1.234567e-8, "1.2e-08"), (1.2345678e-4, "0.000123457"),
        (12.3456789, "12.3457"), (1e6, "1000000.0"), (1e12, "999999000.0"), (math.inf, "null"), (math.nan, "null"),
    ],
)  # fmt: skip
def test_a_regression_has_an_rmse_of_six_digits(rmse, text):
    quality = dict.fromkeys(("source", "untuned", "artifact"), Quality(10, math.nan, math.nan, rmse))
    header = packed_mixed(2, "3 raw raw", link="identity").header
    header = dataclasses.replace(header, origin=origin(quality=quality))
    assert f'"quality":[10,[{text}],[{text}],[{text}]]' in encode(header, SEAL)
    (found,) = {quality.rmse for quality in decode(encode(header, SEAL))[0].origin.quality.values()}
    assert found == pytest.approx(rmse, rel=1e-5, abs=1e-9) or text in ("null", "999999000.0", "1.2e-08")
    assert len(_header_bytes(header, SEAL)) == header.header_bytes
    unknown = dict.fromkeys(quality, Quality(10, 0.0, 0.0))
    assert header.header_bytes == dataclasses.replace(header, origin=origin(quality=unknown)).header_bytes


@pytest.mark.parametrize("warnings", [(), ("no training row has a value of field 'größe'", "b")])
def test_warnings_go_there_and_back(warnings):
    header = packed(2, "3 raw raw", warnings=warnings).header
    assert ('"warnings":' in encode(header, SEAL)) == bool(warnings)
    assert decode(encode(header, SEAL))[0].origin.warnings == warnings
    assert len(_header_bytes(header, SEAL)) == header.header_bytes


@pytest.mark.parametrize("libraries", LIBRARIES, ids=str)
def test_libraries_go_there_and_back(libraries):
    header = packed(2, "3 raw raw", libraries=libraries).header
    assert decode(encode(header, SEAL))[0].origin.libraries == libraries


@pytest.mark.parametrize(
    "quality",
    [
        {}, {"artifact": Quality(5, 0.5, 0.25)}, {"untuned": Quality(5, 0.5, 0.25), "source": Quality(5, 0.75, 0.125)},
        {"artifact": Quality(5, 0.5, 0.25), "source": Quality(6, 0.5, 0.25)}, {"test": Quality(5, 0.5, 0.25)},
    ],
    ids=str,
)  # fmt: skip
def test_quality_goes_there_and_back(quality):
    header = packed(2, "3 raw raw", quality=quality).header
    assert decode(encode(header, SEAL))[0] == header
    assert len(_header_bytes(header, SEAL)) == header.header_bytes


def test_the_standard_error_of_an_auc_is_written_where_it_is_known():
    quality = {
        "source": Quality(10, 0.75, 0.5, auc_standard_error=0.1234567),
        "untuned": Quality(10, math.nan, 0.5, auc_standard_error=math.nan),
        "artifact": Quality(10, 0.75, 0.5),
    }
    header = packed(2, "3 raw raw", quality=quality).header
    assert '"quality":[10,[0.75,0.5,0.12346],[null,0.5,null],[0.75,0.5]]' in encode(header, SEAL)
    assert len(_header_bytes(header, SEAL)) == header.header_bytes
    found = decode(encode(header, SEAL))[0].origin.quality
    assert [each.auc_standard_error for each in found.values()] == [0.12346, pytest.approx(math.nan, nan_ok=True), None]
    unknown = dict.fromkeys(quality, Quality(10, 0.0, 0.0, auc_standard_error=0.0))
    known = dict.fromkeys(quality, Quality(10, 0.8, 0.12345, auc_standard_error=0.12345))
    sizes = {dataclasses.replace(header, origin=origin(quality=each)).header_bytes for each in (unknown, known)}
    assert len(sizes) == 1

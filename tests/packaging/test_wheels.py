"""Wheels with the native core and without it, made from a source distribution, with a compiler and without."""

import json
import sys
import zipfile

import numpy as np
import pytest

from tests.mixed import packed_mixed, random_rows
from tests.packaging.conftest import ROOT, build, install, run

pytestmark = pytest.mark.slow

LIBRARY = f"fmcompress/serve/libfmcompress.{'dylib' if sys.platform == 'darwin' else 'so'}"
HEADER = "fmcompress/serve/fmcompress.h"
PREDICT = """
import json, sys
import numpy as np
import fmcompress as fc
from fmcompress.serve.native_library import status
found = []
for name in sys.argv[1:]:
    rows = np.load(name + ".npz")
    found += fc.load(name).predict(**rows).tolist()
print(json.dumps({"where": fc.__file__, "without": status().reason, "predictions": found}))
"""
MIXED = packed_mixed(6, "9 2x4 4", "5 raw raw", pads=[0, 1], shared=(0,), numeric=(False, True))


def names(wheel):
    with zipfile.ZipFile(wheel) as files:
        return set(files.namelist())


def test_the_wheel_of_this_platform_is_for_every_python(native_wheel):
    python, abi, platform = native_wheel.stem.split("-")[2:]
    assert (python, abi) == ("py3", "none")
    assert platform != "any"
    assert {LIBRARY, HEADER} <= names(native_wheel)


def test_the_wheel_of_any_platform_has_nothing_of_a_build_before(portable_wheel, native_wheel):
    assert portable_wheel.name.endswith("-py3-none-any.whl")
    assert names(native_wheel) - names(portable_wheel) == {LIBRARY, HEADER}


def test_a_source_distribution_has_the_core_s_sources_and_nothing_that_was_built(unpacked):
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    here = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "native").rglob("*.[ch]") if "build" not in path.parts
    }
    assert here <= found
    assert not [name for name in found if name.endswith((".so", ".dylib", ".o"))]


@pytest.mark.parametrize("env", [{"CC": "false"}, {"CC": "no-such-compiler"}, {"CFLAGS": "-no-such-flag"}], ids=str)
def test_without_a_compiler_that_works_the_package_installs_all_the_same(unpacked, native_wheel, tmp_path, env):
    wheel, told = build(unpacked, tmp_path, **env)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert LIBRARY not in names(wheel)
    assert told.count("fmcompress: no native core: ") == 1


def test_a_build_that_has_to_have_the_core_fails_without(unpacked, tmp_path):
    done = run("setup.py", "-q", "build_native", "-d", tmp_path, cwd=unpacked, CC="false", FMCOMPRESS_NATIVE="1")
    assert done.returncode == 1
    assert done.stderr.endswith("error: no native core: false fails with exit status 1\n")


def test_in_place_the_core_comes_and_goes(sources, compiler):
    for native, there in (("1", True), ("0", False)):
        done = run("setup.py", "-q", "build_native", "--inplace", cwd=sources, FMCOMPRESS_NATIVE=native)
        assert done.returncode == 0, done.stderr
        assert [(sources / name).exists() for name in (LIBRARY, HEADER)] == [there, there]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """Return a function from a wheel to what an installation of it, in a Python of its own, says of some rows."""
    folder = tmp_path_factory.mktemp("installed")
    models = {"wide.safetensors": packed_mixed(8, "300 4x16 16", "70 raw raw", numeric=()), "kinds.safetensors": MIXED}
    for name, model in models.items():
        model.save(folder / name)
        ids, values = random_rows(model.schema, 40)
        np.savez(folder / f"{name}.npz", ids=ids, values=values)

    def of(wheel, **env):
        installed = folder / wheel.stem.split("-")[-1]
        if not installed.exists():
            install(wheel, installed)
        done = run("-c", PREDICT, *models, cwd=folder, PYTHONPATH=str(installed), **env)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["where"].startswith(str(installed))
        return found

    return of


def test_both_wheels_predict_the_same(native_wheel, portable_wheel, predicted):
    with_core, without = predicted(native_wheel), predicted(portable_wheel)
    assert with_core["without"] is None
    assert without["without"].startswith("it has not been built")
    np.testing.assert_allclose(with_core["predictions"], without["predictions"], rtol=0, atol=1e-6)


def test_the_core_is_switched_off_by_the_environment(native_wheel, predicted):
    assert predicted(native_wheel, FMCOMPRESS_NATIVE="0")["without"] == "FMCOMPRESS_NATIVE=0 leaves it out"

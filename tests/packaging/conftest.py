"""Builds of the package from a copy of its sources, and installations of what they make."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "fmcompress", "cli", "native",
)  # fmt: skip
BUILT = shutil.ignore_patterns("__pycache__", "libfmcompress.*", "build")


def run(*argv, cwd, **env):
    """Run Python, with a compiler that nothing in the environment names, and return the finished process."""
    clean = {name: value for name, value in os.environ.items() if name not in ("CC", "FMCOMPRESS_NATIVE")}
    quick = {"CFLAGS": "-O0"}  # what the core is compiled with where it is to be fast takes 20 seconds
    argv = [sys.executable, *map(str, argv)]
    env = {**clean, **quick, **env}
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, encoding="utf-8", check=False)


def build(source, into, kind="wheel", **env):
    """Call the build's backend as `build` and pip do, and return the file that it makes and what it says."""
    pytest.importorskip("setuptools", minversion="77")
    made = run("-c", f"from setuptools import build_meta; build_meta.build_{kind}({str(into)!r})", cwd=source, **env)
    assert made.returncode == 0, made.stderr
    (path,) = into.iterdir()
    return path, made.stderr


def install(wheel, folder):
    """Install a wheel without what it needs, which is found where this Python has it, and return the folder."""
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-compile", "--target", folder)
    done = run("-m", "pip", "install", *options, wheel, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def compiler():
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Return a copy of the sources, without anything that was built in place."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=BUILT)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def unpacked(sources, tmp_path_factory):
    """Return the folder of a source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    sdist, _ = build(sources, folder, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def native_wheel(unpacked, compiler, tmp_path_factory):
    wheel, told = build(unpacked, tmp_path_factory.mktemp("native"))
    assert "no native core" not in told
    return wheel


@pytest.fixture(scope="session")
def portable_wheel(unpacked, native_wheel, tmp_path_factory):
    """Return the wheel for any platform, made where the one for this has been made before."""
    wheel, told = build(unpacked, tmp_path_factory.mktemp("portable"), FMCOMPRESS_NATIVE="0")
    assert told.count("no native core: FMCOMPRESS_NATIVE=0 leaves it out") == 1
    return wheel

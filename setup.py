"""Builds the native core into the package where there is a C compiler; pyproject.toml has all the rest.

`python setup.py build_native --inplace` puts it into the source tree, as an editable install does. CC, CFLAGS and
LDFLAGS are heeded. FMCOMPRESS_NATIVE=0 leaves the core out; with FMCOMPRESS_NATIVE=1 the build fails without it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
PACKAGE = Path("fmcompress", "serve")
SOURCES = ROOT / "native" / "src"
HEADER = ROOT / "native" / "include" / "fmcompress.h"
MACOS = sys.platform == "darwin"
LIBRARY = "libfmcompress.dylib" if MACOS else "libfmcompress.so"
COMPILE = ("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-DNDEBUG", "-Wno-psabi")
LINK = ("-dynamiclib", f"-Wl,-install_name,@rpath/{LIBRARY}") if MACOS else ("-shared", f"-Wl,-soname,{LIBRARY}", "-s")


class NotBuiltError(Exception):
    """Why there is no native core."""


class Package(Distribution):
    """The package, which belongs to one platform as soon as a native core has been built into it."""

    native = False

    def has_ext_modules(self):
        return self.native


class Build(build):
    """Builds the native core with the rest."""

    sub_commands = [*build.sub_commands, ("build_native", None)]


class BuildNative(Command):
    """Compiles the native core, or says in one line why there is none."""

    description = "compile the native core"
    user_options = [("inplace", "i", "put it into the source tree"), ("build-lib=", "d", "put it into this folder")]
    boolean_options = ["inplace"]
    editable_mode = False

    def initialize_options(self):
        self.inplace = False
        self.build_lib = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self):
        folder = ROOT / PACKAGE if self.inplace or self.editable_mode else Path(self.build_lib, PACKAGE)
        version = self.distribution.get_version()
        try:
            compile_into(folder, version, self.plat_name())
            self.distribution.native = True
        except NotBuiltError as error:
            # What an earlier build has left is none of this one.
            for name in (LIBRARY, HEADER.name):
                folder.joinpath(name).unlink(missing_ok=True)
            if os.environ.get("FMCOMPRESS_NATIVE") == "1":
                raise SystemExit(f"error: no native core: {error}") from None
            print(f"fmcompress: no native core: {error}; predictions take the slower way, by numpy", file=sys.stderr)

    def plat_name(self):
        return self.get_finalized_command("build").plat_name

    def get_source_files(self):
        return [os.path.relpath(path, ROOT) for path in (*sorted(SOURCES.glob("*.[ch]")), HEADER)]

    def get_outputs(self):
        return list(self.get_output_mapping())

    def get_output_mapping(self):
        """Return where each file lies in the source tree, by where it lies in a wheel."""
        if not self.distribution.native:
            return {}
        return {str(Path(self.build_lib, PACKAGE, name)): str(PACKAGE / name) for name in (LIBRARY, HEADER.name)}


class Wheel(bdist_wheel):
    """Makes a wheel for every Python 3: on this platform with the native core in it, on any without."""

    def run(self):
        self.run_command("build")
        self.root_is_pure = not self.distribution.native
        super().run()

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def compile_into(folder, version, platform):
    """Compile the native core into a folder, with its header beside, or leave the folder as it is."""
    if os.environ.get("FMCOMPRESS_NATIVE") == "0":
        raise NotBuiltError("FMCOMPRESS_NATIVE=0 leaves it out")
    if os.name != "posix":
        raise NotBuiltError(f"there is none for {platform} yet")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    architectures = shlex.split(os.environ.get("ARCHFLAGS", ""))
    if MACOS and platform.endswith("universal2") and not architectures:
        architectures = ["-arch", "x86_64", "-arch", "arm64"]
    flags = [*COMPILE, *architectures, *shlex.split(os.environ.get("CFLAGS", ""))]
    flags += [f'-DFMC_VERSION="{version}"', f"-I{HEADER.parent}"]
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(os.cpu_count()) as pool:
        # What takes longest is last by name, score_portable.c: it comes first.
        sources = sorted(SOURCES.glob("*.c"), reverse=True)
        objects = list(pool.map(partial(compile_one, compiler, flags, temporary), sources))
        library = os.path.join(temporary, LIBRARY)
        link = [*LINK, *architectures, *shlex.split(os.environ.get("LDFLAGS", ""))]
        run([*compiler, *link, *objects, "-o", library, "-lm", "-lpthread"])
        folder.mkdir(parents=True, exist_ok=True)
        # A process that has the old one open keeps it.
        new = folder / f"{LIBRARY}.new"
        shutil.copy(library, new)
        new.replace(folder / LIBRARY)
    shutil.copyfile(HEADER, folder / HEADER.name)


def compile_one(compiler, flags, folder, source):
    """Compile one source and return the path of its object."""
    compiled = os.path.join(folder, f"{source.stem}.o")
    run([*compiler, *flags, "-c", str(source), "-o", compiled])
    return compiled


def run(command):
    """Run a compiler; what it has to say is shown where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        raise NotBuiltError(f"no C compiler: {command[0]}: {error.strerror}") from None
    if done.returncode:
        print(shlex.join(command), done.stderr, sep="\n", file=sys.stderr)
        raise NotBuiltError(f"{command[0]} fails with exit status {done.returncode}")


setup(distclass=Package, cmdclass={"build": Build, "build_native": BuildNative, "bdist_wheel": Wheel})

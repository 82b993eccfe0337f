"""The console script: it starts the command line where its packages are installed, and says which ones are not."""

import sys

from fmcompress.errors import DependencyError, missing_packages_named


def run() -> None:
    """Run the command line; without typer, which it is made with, say so in one line."""
    try:
        with missing_packages_named():
            from .main import run as run_main
    except DependencyError as error:
        sys.exit(f"error: {error} ({error.hint})")
    run_main()

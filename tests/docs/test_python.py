"""The Python of each page runs: its blocks one after the other, as a reader would type them."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from tests.docs.pages import PAGES, blocks, name_of
from tests.mixed import with_poolings
from tests.models import packed

pytestmark = pytest.mark.slow

IDS = np.zeros((3, 8), dtype=np.int64)
MOVIES = with_poolings(packed(4, "9 2x4 4", "20 raw raw", names=("user", "genres")), {"genres": "mean"})
GIVEN = {"README.md": {"ids": IDS}, "docs/serving.md": {"ids": IDS, "movies": MOVIES}}
"""What a page says in a comment that it is."""

PLACES = {"docs/quickstart.md": "demo_folder"}
"""Where a page's blocks run that do not run in the workspace."""

WRITTEN = re.compile(r"save\w*\((?:\w+, )?\"([^\"]+)\"")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python(page, folder, request, monkeypatch):
    if name_of(page) in PLACES:
        monkeypatch.chdir(request.getfixturevalue(PLACES[name_of(page)]))
    for path in WRITTEN.findall("\n".join(blocks(page, "python"))):
        Path(path).unlink(missing_ok=True)
    names = dict(GIVEN.get(name_of(page), {}))
    with contextlib.redirect_stdout(io.StringIO()):
        for text in blocks(page, "python"):
            exec(compile(text, name_of(page), "exec"), names)

"""Files of text for the tests of the data."""

import pytest


@pytest.fixture
def text(tmp_path):
    """Return a function that writes lines as a file, and returns its path."""

    def written(lines, name="x.libfm"):
        path = tmp_path / name
        path.write_bytes(lines.encode() if isinstance(lines, str) else lines)
        return path

    return written


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A folder of two files in small chunks; row n has label n % 2 and category n of one field."""
    monkeypatch.setattr("fmcompress.data.libsvm_text._CHUNK_BYTES", 100)
    (tmp_path / "data").mkdir()
    for name, first, last in (("a.libfm", 0, 700), ("b.svm", 700, 1000)):
        lines = "".join(f"{n % 2} {n}:1\n" + ("\n# more\n" if n % 10 == 0 else "") for n in range(first, last))
        (tmp_path / "data" / name).write_text(lines)
    (tmp_path / "data" / "README.txt").write_text("what these are")
    return tmp_path / "data"

"""Lines of text are counted in chunks and taken apart as a plain reader would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.data.libsvm_text import chunks_of, parse_lines
from fmcompress.data.stored_files import LocalFile
from fmcompress.errors import DataError


def lines_of(pairs):
    return b"".join(b"%d %s\n" % (label, b" ".join(b"%d:%d" % pair for pair in row)) for label, row in pairs)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 1), st.lists(st.tuples(st.integers(0, 99), st.integers(1, 9)), max_size=5)),
        max_size=30,
    ),
    empty=st.lists(st.tuples(st.integers(0, 30), st.sampled_from([b"", b" \r", b"# 1 2:3", b"\t#"])), max_size=5),
    ends=st.booleans(),
)
def test_lines_are_those_of_a_plain_reader(tmp_path_factory, rows, empty, ends):
    """Whatever lines are empty, rows and their lines are counted right before they are parsed, and after."""
    lines = lines_of(rows).split(b"\n")[:-1]
    for place, line in empty:
        lines.insert(place, line)
    path = tmp_path_factory.mktemp("lines") / "x"
    path.write_bytes(b"\n".join(lines) + (b"\n" if ends else b""))
    counted = list(chunks_of(LocalFile(path)))
    found = parse_lines(path.read_bytes(), "x", 1)
    assert sum(chunk.rows for chunk in counted) == len(found) == len(rows)
    assert found.labels.tolist() == [label for label, _ in rows]
    pairs = [(row, *pair) for row, (_, own) in enumerate(rows) for pair in own]
    assert list(zip(found.rows, found.indices, found.values, strict=True)) == pairs
    assert all(not lines[number - 1].strip().startswith(b"#") for number in found.numbers)


@settings(max_examples=300, deadline=None)
@given(st.text("01 :.\n#-xe", max_size=40).map(str.encode))
def test_anything_is_lines_or_an_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("lines") / "x"
    path.write_bytes(text)
    counted = sum(chunk.rows for chunk in chunks_of(LocalFile(path)))
    try:
        found = parse_lines(text, "x", 1)
    except DataError:
        return
    comments = sum(line.partition(b"#")[2].count(b":") for line in text.split(b"\n"))
    assert len(found) == counted
    assert len(found.rows) == len(found.values) == text.count(b":") - comments

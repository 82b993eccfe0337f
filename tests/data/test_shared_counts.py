"""Rows of text are counted by one of several processes, and known to all."""

import textwrap

import pytest

from tests.processes.running import run

READ = textwrap.dedent(
    """
    import sys
    from fmcompress.data import csv_files, libsvm_reader
    from fmcompress.data.rows import open_rows
    from fmcompress.fm.field_specs import parse_fields
    from fmcompress.processes.joining import joined

    counted = []

    def noting(count):
        def noted(file, **more):
            counted.append(file.name)
            return count(file, **more)
        return noted

    csv_files.count_csv = noting(csv_files.count_csv)
    libsvm_reader.chunks_of = noting(libsvm_reader.chunks_of)
    with joined() as world:
        for path in sys.argv[1:]:
            rows = open_rows(path, parse_fields("a:100"))
            own = [n for batch in rows.own_part().batches() for n in batch.ids[:, 0].tolist()]
            assert sum(world.gather_objects(own), []) == list(range(60)), path
        print(counted)
    """
)


@pytest.mark.slow
def test_each_file_is_counted_once(tmp_path):
    for number in range(3):
        own = range(20 * number, 20 * number + 20)
        for kind, text in (("csv", "label,a\n" + "".join(f"1,{n}\n" for n in own)),
                           ("svm", "".join(f"1 {n}:1\n" for n in own))):  # fmt: skip
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{number}.{kind}").write_text(text)
    one = tmp_path / "one.csv"
    one.write_text("label,a\n" + "".join(f"1,{n}\n" for n in range(60)))
    first, second = run("-c", READ, tmp_path / "csv", tmp_path / "svm", one)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert first[1].strip() == "['0.csv', '2.csv', '0.svm', '2.svm', 'one.csv']"
    assert second[1].strip() == "['1.csv', '1.svm']"

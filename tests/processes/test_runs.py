"""Commands in several processes: what comes of them is what one process makes, and where one ends all do."""

import functools
import json
import operator
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.data.rows import open_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.fm.field_specs import parse_fields
from tests.data.rows import write
from tests.processes.running import run, start

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
"""Of numbers that are sums of the same terms in another order, step after step."""

SHARES = textwrap.dedent(
    """
    import pickle, sys
    from fmcompress.data.rows import open_rows
    from fmcompress.data.shuffle import EQUAL, FILLED, WHOLE, shuffled
    from fmcompress.fm.field_specs import parse_fields
    from fmcompress.processes.joining import joined

    with joined() as world:
        rows = open_rows("rows.parquet", parse_fields(sys.argv[1]))
        for shares in (EQUAL, FILLED, WHOLE):
            found = [
                (batch.labels.tolist(), batch.ids[:, 0].tolist(), batch.bags["many"].ids.tolist(), batch.weight)
                for batch in shuffled(rows, 64, seed=3, buffer_bytes=4000, shares=shares)
            ]
            told = world.gather_objects(found)
            if world.first:
                sys.stdout.write(repr(told) + "\\n")
    """
)


def test_batches_are_of_the_same_rows_for_any_number_of_processes(tmp_path):
    count, spec = 1794, "row:2000,many:9:mean"
    many = [list(range(row % 4)) for row in range(count)]
    row = np.arange(count, dtype=np.int32)
    path = write(tmp_path / "rows.parquet", row_group_size=131, label=row % 2, row=row, many=many)
    wanted = list(shuffled(open_rows(path, parse_fields(spec)), 64, seed=3, buffer_bytes=4000))
    assert len(wanted[-1]) == 2  # fewer than processes
    ((code, equal, errors), *others) = run("-c", SHARES, spec, size=3, folder=tmp_path)
    assert (code, errors) == (0, "")
    assert others == [(0, "", "")] * 2
    equal, filled, whole = map(eval, equal.splitlines())
    for number, batch in enumerate(wanted):
        labels, ids, bags, weights = zip(*(process[number] for process in equal), strict=True)
        assert functools.reduce(operator.iadd, labels, []) == batch.labels.tolist()
        assert functools.reduce(operator.iadd, ids, []) == batch.ids[:, 0].tolist()
        assert functools.reduce(operator.iadd, bags, []) == batch.bags["many"].ids.tolist()
        assert weights == pytest.approx([len(own) / len(batch) for own in ids])
        assert max(map(len, ids)) - min(map(len, ids)) <= 1
        assert all(process[number][1] == batch.ids[:, 0].tolist() for process in whole)
        for process, own in zip(filled, ids, strict=True):
            assert process[number][1] == (own or batch.ids[:1, 0].tolist())
            assert process[number][3] == pytest.approx(len(own) / len(batch))


def test_two_processes_train_as_one(files, here, tmp_path):
    how = ("--dim", 4, "--l2", 1e-3, "--lr", 1e-3, "--epochs", 1, "--no-calibrate")
    given = ("train", files.train, "--valid", files.valid, *how)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "fmcompress_cli"]
    command = [*torchrun, *map(str, given), "-o", "two.pt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("two.pt: learning rate")
    assert done.stdout.count("\n") == 1
    here(*given, "-o", "one.pt")
    one, two = (fc.load_checkpoint(tmp_path / f"{name}.pt") for name in ("one", "two"))
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_allclose(one.embeddings, two.embeddings, atol=TOLERANCE)
    np.testing.assert_allclose(one.linear, two.linear, atol=TOLERANCE)


@pytest.mark.parametrize("method", [("auto", "--budget", "5KB"), ("lightfm", "--codewords", 16)], ids=lambda m: m[0])
def test_two_processes_tune_as_one(method, files, here, tmp_path):
    rows = ("--train", files.train, "--valid", files.valid, "--distillation", 0, "--lr", 1e-3, "--epochs", 1)
    given = ("quantize", files.fm, "--method", *method, *rows, "--batch-size", 1000)
    (first, second) = run("-m", "fmcompress_cli", *given, "-o", "two", "--history", "two.jsonl", folder=tmp_path)
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert second[1:] == ("", "")
    here(*given, "-o", "one", "--history", "one.jsonl")
    histories = [
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("one", "two")
    ]
    for one, two in zip(*histories, strict=True):
        del one["seconds" if "seconds" in one else "event"], two["seconds" if "seconds" in two else "event"]
        assert two == pytest.approx(one, abs=TOLERANCE)
    one, two = (fc.load(tmp_path / name) for name in ("one", "two"))
    assert one.header.quantizers == two.header.quantizers
    assert (one.codes != two.codes).mean() < 0.01
    np.testing.assert_allclose(one.values, two.values, atol=1e-3)


def test_one_that_is_killed_ends_the_run_which_goes_on_with_another_number(files, here, tmp_path):
    rows = ("--train", files.train, "--valid", files.valid, "--distillation", 0, "--lr", 1e-3, "--epochs", 2)
    given = ("quantize", files.fm, "--budget", "5KB", *rows, "--batch-size", 50, "-o", "out")
    first, second = start("-m", "fmcompress_cli", *given, folder=tmp_path)
    with first, second:
        for line in first.stderr:
            if "epoch 1 of" in line:
                second.send_signal(signal.SIGKILL)
                break
        said = first.stderr.read()
        assert first.wait(60) == 2
        second.stdout.read()
    assert said.splitlines() == [
        "error: another process of the run ended (--resume goes on from epoch 2 of the tuning)",
    ]
    assert not (tmp_path / "out").exists()
    shutil.copytree(tmp_path, tmp_path / "two")
    resumed = run("-m", "fmcompress_cli", *given, "--resume", folder=tmp_path / "two")
    assert [code for code, _, _ in resumed] == [0, 0]
    assert "going on from epoch 2 of the tuning" in here(*given, "--resume").stderr
    one, two = (fc.load(folder / "out") for folder in (tmp_path, tmp_path / "two"))
    np.testing.assert_allclose(one.values, two.values, atol=1e-3)
    assert not list(tmp_path.rglob("*.resume"))


def test_an_error_is_told_by_all_or_by_the_first(files, tmp_path):
    alone = run("-m", "fmcompress_cli", "report", files.ptq, folder=tmp_path)
    told = "error: torchrun has started 2 processes, and report is done by one"
    assert [(code, errors.startswith(told)) for code, _, errors in alone] == [(2, True), (2, False)]
    missing = run("-m", "fmcompress_cli", "train", "nowhere.parquet", "-o", "fm.pt", folder=tmp_path)
    why = "nowhere.parquet: no such file or folder\n"
    assert missing == [(2, "", f"error: {why}"), (2, "", f"error: another process of the run ended: {why}")]

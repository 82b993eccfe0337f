"""Checkpoints and artifacts are told apart by their content, never by their names."""

import shutil

import pytest

import fmcompress as fc
from fmcompress.checkpoints.model_files import is_artifact, load_model, stored_bytes
from fmcompress.data.click_model import random_click_model
from fmcompress.fm.schema import Schema

from .samples import FIELDS, STATE_DICT, WHOLE_MODEL


def test_checkpoints(files, tmp_path):
    checkpoint = fc.load_checkpoint(files.fm)
    fc.save_checkpoint(checkpoint, tmp_path / "fm.safetensors")
    for path in (files.fm, tmp_path / "fm.safetensors"):
        assert not is_artifact(path)
        assert load_model(path).schema == checkpoint.schema
    for path in (WHOLE_MODEL, STATE_DICT):
        assert not is_artifact(path)
        assert load_model(path, fields=FIELDS).schema == FIELDS


@pytest.mark.parametrize("name", ["model.pt", "model", "model.bin"])
def test_artifacts(files, tmp_path, name):
    shutil.copy(files.ptq, tmp_path / name)
    assert is_artifact(tmp_path / name)
    assert isinstance(load_model(tmp_path / name), fc.CompressedFM)


def test_large_headers(tmp_path):
    schema = Schema.of((f"a field with a long name, number {number}", 2) for number in range(300))
    drawn = random_click_model(schema, dim=2, seed=0)
    checkpoint = fc.FMCheckpoint(schema, drawn.bias, drawn.linear, drawn.embeddings)
    fc.save_checkpoint(checkpoint, tmp_path / "fm.safetensors")
    fc.quantize(checkpoint, "1MB").save(tmp_path / "ptq.safetensors")
    assert not is_artifact(tmp_path / "fm.safetensors")
    assert is_artifact(tmp_path / "ptq.safetensors")


def test_field_names_do_not_deceive(tmp_path):
    schema = Schema.of([('"schema_version":', 2), ("schema_version", 3)])
    drawn = random_click_model(schema, dim=2, seed=0)
    fc.save_checkpoint(fc.FMCheckpoint(schema, drawn.bias, drawn.linear, drawn.embeddings), tmp_path / "fm.safetensors")
    assert not is_artifact(tmp_path / "fm.safetensors")


def test_damaged_artifacts_are_artifacts(files, tmp_path):
    fc.quantize(fc.load_checkpoint(files.fm), "8KB", layout="plain").save(tmp_path / "plain.safetensors")
    whole, compact = (tmp_path / "plain.safetensors").read_bytes(), files.ptq.read_bytes()
    damaged = tmp_path / "x"
    at = whole.index(rb"\"schema_version\":") + 30
    for changed in (
        whole[:-1],
        whole[: len(whole) // 2],
        whole[:-1] + bytes([whole[-1] ^ 1]),
        whole.replace(rb"\"schema_version\":1", rb"\"schema_version\":9"),
        whole[:at] + b"}" + whole[at + 1 :],
        compact[:-1],
        compact[: len(compact) // 2],
        compact[:-1] + bytes([compact[-1] ^ 1]),
    ):
        damaged.write_bytes(changed)
        assert is_artifact(damaged)
        with pytest.raises(fc.ArtifactError, match=r"^\S*x: "):
            load_model(damaged)


def test_neither(tmp_path):
    for name, content in {"empty": b"", "short": b"abc", "text": b"{" * 100}.items():
        (tmp_path / name).write_bytes(content)
        assert not is_artifact(tmp_path / name)
        with pytest.raises(fc.CheckpointError):
            load_model(tmp_path / name)
    for path in (tmp_path, tmp_path / "none", tmp_path / ("n" * 300)):
        assert not is_artifact(path)
        with pytest.raises(fc.CheckpointError):
            load_model(path)


def test_bytes_of_files_and_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"45")
    assert stored_bytes(tmp_path / "a") == 3
    assert stored_bytes(tmp_path) == 5

"""How far training is: means of losses, and all of it there and back through the state of a run."""

from dataclasses import replace

import pytest
import torch

from fmcompress.errors import StateError
from fmcompress.training.run_state import RunFiles, RunState, open_run_state
from fmcompress.training.trainer_state import EpochLoss, TrainerState, load_state, save_state
from tests.training.scripted import Scripted, scores


def losses(*values):
    found = EpochLoss()
    for value in values:
        found.add(torch.tensor(value, requires_grad=True))
    return found


def test_the_loss_of_an_epoch_is_a_mean_and_lines_have_means_of_their_own():
    found = losses(1.0, 2.0, 6.0)
    assert found.mean() == 3.0
    assert found.take_recent() == 3.0
    found.add(torch.tensor(11.0))
    assert (found.take_recent(), found.mean()) == (11.0, 5.0)
    assert (EpochLoss().mean(), EpochLoss().take_recent()) == (0.0, 0.0)


def test_losses_are_added_up_in_float64_without_their_graph():
    found = losses(16_777_216.0, 1.0)
    assert not found.recent.requires_grad
    assert found.mean() == 16_777_217.0 / 2


@pytest.mark.parametrize("best", [None, (7.0, scores(0.25))], ids=["no best state", "with the best state"])
def test_load_is_the_inverse_of_save(tmp_path, best):
    training = Scripted()
    training.module.weight.data.fill_(5.0)
    state = TrainerState(best, best_epoch=2, epoch=4, done=3, loss=losses(1.0, 2.5), waited=1, drops=1)
    state.loss.take_recent()
    state.loss.add(torch.tensor(0.5))
    run_state = open_run_state(RunFiles(tmp_path / "state"), {})
    save_state(run_state, "search", training, state)
    assert run_state.position == "epoch 4 of the search"

    again, other = open_run_state(RunFiles(tmp_path / "state", resume=True), {}), Scripted()
    assert load_state(again, "tuning", other) is None
    assert repr(load_state(again, "search", other)) == repr(replace(state, loss=replace(state.loss, recent=0.5)))
    assert other.kept() == 5.0


def test_a_run_that_keeps_no_state_asks_the_model_for_none():
    class Unresumable(Scripted):
        def state_dict(self):
            raise AssertionError

    save_state(RunState(), "search", Unresumable(), TrainerState())
    assert load_state(RunState(), "search", Unresumable()) is None


@pytest.mark.parametrize("part", ["run", "best", "losses", "course"])
def test_what_another_program_saved_is_damaged(tmp_path, part):
    run_state = open_run_state(RunFiles(tmp_path / "state"), {})
    save_state(run_state, "search", Scripted(), TrainerState((1.0, scores(0.0))))
    saved = open_run_state(RunFiles(tmp_path / "state", resume=True), {}).in_progress("search")
    for wrong in ({k: v for k, v in saved.items() if k != part}, {**saved, part: {"something": "else"}}):
        run_state.save("search", wrong, "epoch 1 of the search")
        with pytest.raises(StateError, match="is damaged"):
            load_state(open_run_state(RunFiles(tmp_path / "state", resume=True), {}), "search", Scripted())

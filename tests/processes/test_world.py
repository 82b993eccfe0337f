"""What processes tell each other arrives, in all of them alike; a process that is alone does without torch."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fmcompress.processes.joining import joined, started_by_torchrun
from fmcompress.processes.world import World, this_process
from tests.processes.running import environment, run

TALK = textwrap.dedent(
    """
    import numpy as np, torch
    from fmcompress.processes.joining import first_word, joined
    from fmcompress.processes.world import this_process

    with joined() as world:
        rank = world.rank
        assert this_process() is world and world.size == 3 and world.first == (rank == 0)
        summed = torch.ones(2) * rank
        world.add_up(summed)
        assert summed.tolist() == [3, 3]
        counts = np.array([[1, rank]])
        assert world.total(counts).tolist() == [[3, 3]] and counts.tolist() == [[1, rank]]
        gathered = world.gather(np.full((rank, 2), rank, dtype=np.uint16))
        assert [part.tolist() for part in gathered] == [[], [[1, 1]], [[2, 2], [2, 2]]]
        sent = [np.full(rank + other, 10 * rank + other, dtype=np.float32) for other in range(3)]
        assert [part.tolist() for part in world.exchange(sent)] == [
            [10 * other + rank] * (rank + other) for other in range(3)
        ]
        assert world.gather_objects({"rank": rank}) == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
        assert world.of_first(rank) == 0
        assert world.first_does(lambda: (rank, this_process().alone)) == (0, True)
        numbers = torch.ones(2) * (5 + rank)
        world.spread([numbers])
        assert numbers.tolist() == [5, 5]
        world.gather_objects(first_word(world, f"{rank} is first"))
        assert len(set(world.gather_objects(first_word(world, "late")))) == 1
    assert this_process().alone
    """
)


@pytest.mark.slow
def test_what_is_told_arrives():
    assert run("-c", TALK, size=3) == [(0, "", "")] * 3


def test_one_that_is_alone_gets_what_it_gives():
    with joined({}) as world:
        array = np.arange(3)
        assert world == this_process() == World()
        assert world.total(array) is array
        assert world.gather(array) == [array]
        assert world.exchange([array]) == [array]
        assert world.gather_objects("told") == ["told"]
        assert world.of_first("told") == world.first_does(lambda: "told") == "told"


def test_shares_are_all_together():
    shares = [range(10)[World(rank, 3).share(10)] for rank in range(3)]
    assert [list(share) for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_only_torchrun_starts_several():
    told = environment(1, 2, 1234)
    assert started_by_torchrun(told)
    assert not started_by_torchrun({**told, "WORLD_SIZE": "1"})
    del told["TORCHELASTIC_RUN_ID"]  # schedulers of jobs say the other numbers too
    assert not started_by_torchrun(told)


@pytest.mark.slow
def test_one_that_is_alone_does_without_torch():
    code = "import sys; from fmcompress.processes.joining import joined\nwith joined({}): print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"

"""Work side by side: results in order, told of, and errors not swallowed."""

import time
from functools import partial

import pytest
from threadpoolctl import threadpool_info

from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.parallel import side_by_side


class Told(Progress):
    def __init__(self):
        self.told = []

    def start(self, what, total):
        self.told.append((what, total))

    def advance(self, steps=1, figures=""):
        self.told.append(steps)

    def finish(self):
        self.told.append("end")


def slowly(number):
    time.sleep(0.01 * (3 - number))
    return number


def test_results_come_in_the_order_of_the_works_and_each_is_told():
    told = Told()
    assert list(side_by_side([partial(slowly, n) for n in range(3)], title="work", progress=told)) == [0, 1, 2]
    assert told.told == [("work", 3), 1, 1, 1, "end"]


def test_libraries_keep_to_one_thread_meanwhile():
    def threads():
        return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)

    assert list(side_by_side([threads] * 2, title="work", progress=SILENT)) == [1, 1]


def test_an_error_of_one_work_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side([lambda: 1, lambda: 1 // 0], title="work", progress=SILENT))


def test_no_work_is_no_result():
    assert list(side_by_side([], title="work", progress=SILENT)) == []

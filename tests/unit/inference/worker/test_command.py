"""Small decisions of the command and of the worker's end."""

import pytest

from inference.worker.command import Probes, warm_sizes
from infra.process.lifecycle import Stop
from schemas.errors import Stalled


@pytest.mark.parametrize(("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (32, (1, 2, 4, 8, 16, 32))])
def test_sizes_that_are_warmed(largest: int, sizes: tuple[int, ...]) -> None:
    assert warm_sizes(largest) == sizes


def test_a_process_without_a_worker_lives_and_is_not_ready() -> None:
    probes = Probes(Stop())
    assert probes.live() is None
    assert probes.ready() == "the model is being loaded"
    probes.stop.set(Stalled("nothing moves"))
    assert probes.live() == "nothing moves"
    assert probes.ready() == "stopping"

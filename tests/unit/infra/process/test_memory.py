"""What the allocator keeps and gives back, on glibc."""

import subprocess
import sys

import pytest

from infra.process.memory import give_back_freed_memory

HOLES = """
import psutil
from infra.process.memory import give_back_freed_memory, keep_freed_memory

assert keep_freed_memory()
pieces = [b"x" * (100_000 + number) for number in range(1_000)]
kept = pieces[::10]  # what is free lies between things in use
del pieces
before = psutil.Process().memory_info().rss
give_back_freed_memory()
print((before - psutil.Process().memory_info().rss) // 2**20, len(kept))
"""


@pytest.mark.skipif(not give_back_freed_memory(), reason="this C library is not glibc")
def test_what_is_free_between_things_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    returned_mib = int(done.stdout.split()[0])
    assert 70 < returned_mib < 100

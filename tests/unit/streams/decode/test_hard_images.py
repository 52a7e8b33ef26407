"""Images that take long: they hold up nobody but their own source. With real processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from streams.decode.hard_sources import HARD_S
from streams.decode.pool import DecodePool

PATIENCE_S = 60.0
HARD_TAKES_S = 1.0


def work(image: bytes) -> bytes:
    """`hard` takes the processor long, `slow` takes the clock long."""
    if image.startswith(b"hard"):
        until_s = time.process_time() + HARD_TAKES_S
        while time.process_time() < until_s:
            pass
    if image.startswith(b"slow"):
        time.sleep(3.0)
    return image + image


@pytest.fixture(params=[1, 2])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[DecodePool[bytes, bytes]]:
    made: DecodePool[bytes, bytes] = DecodePool(request.param, work, PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        await made.run([b"%d" % number for number in range(8)], range(8))
        while not all(process.is_ready for process in made._processes):
            await asyncio.sleep(0.01)
        yield made
    made.close()


async def run(pool: DecodePool[bytes, bytes], *images: bytes) -> list[object]:
    """The results, each image of a source of its own. On a machine with much to do, any image may take long."""
    return [await one if isinstance(one, asyncio.Future) else one for one in await pool.run(images, images)]


async def run_easy(pool: DecodePool[bytes, bytes]) -> None:
    images = [b"%d" % number for number in range(16)]
    assert await run(pool, *images) == [image + image for image in images]


async def test_the_images_beside_a_hard_one_do_not_wait_for_it(pool: DecodePool[bytes, bytes]) -> None:
    images = [b"before", b"hard", *(b"behind %d" % number for number in range(20))]
    later = asyncio.ensure_future(run(pool, b"later"))
    results = await pool.run(images, images)
    hard = results.pop(1)
    assert isinstance(hard, asyncio.Future)
    others = [await one if isinstance(one, asyncio.Future) else one for one in results]
    assert others == [image + image for image in images if image != b"hard"]
    assert await later == [b"laterlater"]
    assert not hard.done(), "the others are done first"
    assert await hard == b"hardhard"


async def test_a_hard_source_waits_its_turn_and_is_never_in_all_processes(pool: DecodePool[bytes, bytes]) -> None:
    (first,) = await pool.run([b"hard"], ["camera"])
    assert await pool.run([b"hard 2", b"hard 3"], ["camera", "camera"]) == [None, None]
    assert isinstance(first, asyncio.Future)
    more = [asyncio.ensure_future(pool.run_hard(b"hard %d" % number, "camera")) for number in (2, 3)]
    await asyncio.sleep(2 * HARD_S)
    await run_easy(pool)
    assert not all(one.done() for one in (first, *more))
    assert await first == b"hardhard"
    assert await asyncio.gather(*more) == [b"hard 2hard 2", b"hard 3hard 3"]


async def test_hard_images_of_more_sources_than_processes_make_room_for_easy_ones(
    pool: DecodePool[bytes, bytes],
) -> None:
    hard = [b"hard %d" % number for number in range(len(pool._processes) + 1)]
    found = asyncio.ensure_future(asyncio.gather(*(pool.run([image], [image]) for image in hard)))
    await asyncio.sleep(HARD_S)
    await run_easy(pool)
    results: Sequence[object] = [one for (one,) in await found]
    waited = [await one if isinstance(one, asyncio.Future) else one for one in results]
    left = [image for image, one in zip(hard, waited, strict=True) if one is None]
    assert [one for one in waited if one] == [image + image for image in hard if image not in left]
    assert await asyncio.gather(*(pool.run_hard(image, image) for image in left)) == [image + image for image in left]


async def test_a_source_is_not_hard_because_the_machine_was_slow(pool: DecodePool[bytes, bytes]) -> None:
    (slow,) = await pool.run([b"slow"], ["camera"])
    assert isinstance(slow, asyncio.Future)
    assert await pool.run([b"a"], ["camera"]) == [None]
    assert await slow == b"slowslow"
    assert await pool.run([b"a"], ["camera"]) == [b"aa"]


async def test_a_process_that_dies_with_a_hard_image_costs_none(pool: DecodePool[bytes, bytes]) -> None:
    images = [b"a", b"hard", b"b"]
    results = await pool.run(images, images)
    hard = results[1]
    assert isinstance(hard, asyncio.Future)
    (process,) = (one for one in pool._processes if one.is_hard_at_work)
    process._process.kill()
    assert await hard == b"hardhard"

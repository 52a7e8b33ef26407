"""A decode pool in which pictures that begin with `hard` take as long as the test says."""

import asyncio
from collections.abc import Hashable, Sequence

from inference.image import Prepared
from tests.support.stage_rig import work

Result = Prepared | Exception


class HardPool:
    """`at_work`: the hard pictures that are being decoded, in the order of their beginning."""

    def __init__(self) -> None:
        self.at_work: dict[bytes, asyncio.Future[Result]] = {}
        self._hard: set[Hashable] = set()

    async def run(
        self, images: Sequence[bytes], sources: Sequence[Hashable]
    ) -> "list[Result | asyncio.Future[Result] | None]":
        return [self._begun(image, source) for image, source in zip(images, sources, strict=True)]

    async def run_hard(self, image: bytes, source: Hashable) -> Result:
        return await self._future(image) if image.startswith(b"hard") else _result(image)

    def done(self, image: bytes) -> None:
        self.at_work.pop(image).set_result(_result(image))

    def _begun(self, image: bytes, source: Hashable) -> "Result | asyncio.Future[Result] | None":
        if source in self._hard:
            return None
        if not image.startswith(b"hard"):
            return _result(image)
        self._hard.add(source)
        return self._future(image)

    def _future(self, image: bytes) -> "asyncio.Future[Result]":
        self.at_work[image] = asyncio.get_running_loop().create_future()
        return self.at_work[image]


def _result(image: bytes) -> Result:
    try:
        return work(image)
    except Exception as error:
        return error

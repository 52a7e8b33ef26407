"""A decode pool of threads, for tests of the code that uses a pool. The pool's own tests run on both kinds."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class ThreadPool(Generic[In, Out]):
    """`streams.decode.pool.DecodePool` in the threads of the event loop."""

    def __init__(self, work: Callable[[In], Out]) -> None:
        self._work = work

    async def run(self, images: Sequence[In], sources: Sequence[Hashable]) -> list[Out | Exception]:
        return await asyncio.gather(*(asyncio.to_thread(self._result, image) for image in images))

    async def run_hard(self, image: In, source: Hashable) -> Out | Exception:
        return await asyncio.to_thread(self._result, image)

    def close(self) -> None:
        pass

    def _result(self, image: In) -> Out | Exception:
        try:
            return self._work(image)
        except Exception as error:
            return error

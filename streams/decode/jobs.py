"""Windows of images, cut into jobs for the decode processes and put together again. Pure, except for the future."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import DecoderDied


class ImageWindow:
    """Images that are decoded together: `done` is set when `results` has a result for each."""

    def __init__(self, images: Sequence[Any], done: "asyncio.Future[None]") -> None:
        self.images, self.done = images, done
        self.results: list[Any] = [None] * len(images)
        self._left = len(images)

    def jobs(self, size: int) -> "Iterator[Job]":
        """The images in order, as jobs of at most `size` images."""
        indices = range(len(self.images))
        return (Job(self, indices[start : start + size]) for start in indices[::size])

    def settle(self, index: int, result: Any) -> None:
        self.results[index] = result
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Job:
    """Some images of a window. `deaths`: how many processes died with this job, or with the job it was a part of."""

    window: ImageWindow
    indices: Sequence[int]
    deaths: int = 0

    def images(self) -> list[Any]:
        return [self.window.images[index] for index in self.indices]

    def settle(self, results: Sequence[Any]) -> None:
        for index, result in zip(self.indices, results, strict=True):
            self.window.settle(index, result)

    def after_a_death(self, how: str) -> "list[Job]":
        """The jobs to do again after a process died with this one: each image alone, to find the one at fault.

        When an image was alone at the second death, the death is its result.
        """
        if len(self.indices) == 1 and self.deaths:
            self.settle([DecoderDied(f"the decode process {how}")])
            return []
        return [Job(self.window, [index], self.deaths + 1) for index in self.indices]

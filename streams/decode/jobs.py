"""Windows of images, cut into jobs for the decode processes and put together again. Pure, except for the futures."""

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import DecoderDied

_OPEN = object()


class ImageWindow:
    """Images that are decoded together. `done` is set when `results` holds something for each.

    That is the result; None for an image that was not begun, because its source is hard; or a future of the result
    where the image takes long: the window does not wait for it. Only the first result of an image counts.
    """

    def __init__(
        self, images: Sequence[Any], sources: Sequence[Hashable], new_future: "Callable[[], asyncio.Future[Any]]"
    ) -> None:
        self.images, self.sources = images, sources
        self.done: asyncio.Future[None] = new_future()
        self.results: list[Any] = [_OPEN] * len(images)
        self._new_future, self._left = new_future, len(images)

    def wants(self, index: int) -> bool:
        """Whether the image has no result yet."""
        held = self.results[index]
        return held is _OPEN or (isinstance(held, asyncio.Future) and not held.done())

    def settle(self, index: int, result: Any) -> None:
        if not self.wants(index):
            return
        held = self.results[index]
        if held is _OPEN:
            self._put(index, result)
        else:
            held.set_result(result)

    def catch(self, index: int) -> None:
        """The image takes long: its result is a future from now on."""
        if self.results[index] is _OPEN:
            self._put(index, self._new_future())

    def fail(self, error: Exception) -> None:
        for future in (self.done, *self.results):
            if isinstance(future, asyncio.Future) and not future.done():
                future.set_exception(error)

    def _put(self, index: int, result: Any) -> None:
        self.results[index] = result
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class Job:
    """Some images of a window, for one process.

    `deaths`: how many processes died with this job, or with the job it was a part of; `is_hard`: one image that is
    known to take long. `first`: the number of its first image at its process. `caught`: the image that turned out to
    take long. `is_taken_back`: other jobs have all its images but that one.
    """

    window: ImageWindow
    indices: Sequence[int]
    deaths: int = 0
    is_hard: bool = False
    first: int = field(default=0, init=False)
    caught: int | None = field(default=None, init=False)
    is_taken_back: bool = field(default=False, init=False)

    def images(self) -> list[Any]:
        return [self.window.images[index] for index in self.indices]

    def sources(self) -> list[Hashable]:
        return [self.window.sources[index] for index in self.indices]

    def settle(self, results: Sequence[Any]) -> None:
        """Takes a result for each image, or for the first ones: a process does not begin what was taken back."""
        for index, result in zip(self.indices, results, strict=False):
            self.window.settle(index, result)

    def take_back(self, at_work: int) -> "Job":
        """A job for another process with all images but the one at this position, which is caught.

        It has the finished ones too: their results would come only after that of the caught one. Below 0 none is at
        work.
        """
        self.is_taken_back = True
        if at_work >= 0:
            self.caught = self.indices[at_work]
            self.window.catch(self.caught)
        return Job(self.window, [index for index in self.indices if index != self.caught], self.deaths, self.is_hard)

    def left(self) -> list[int]:
        """The images that would have no result if the process died now."""
        mine = self.indices if not self.is_taken_back else [] if self.caught is None else [self.caught]
        return [index for index in mine if self.window.wants(index)]

    def after_a_death(self, how: str) -> "list[Job]":
        """The jobs to do again after a process died with this one: each image alone, to find the one at fault.

        When an image was alone at the second death, the death is its result.
        """
        if len(self.indices) == 1 and self.deaths:
            self.settle([DecoderDied(f"the decode process {how}")])
            return []
        is_hard = self.is_hard or self.caught is not None
        return [Job(self.window, [index], self.deaths + 1, is_hard) for index in self.left()]


def jobs_of(window: ImageWindow, size: int, is_hard: Callable[[Hashable], bool]) -> Iterator[Job]:
    """The images of the window in order, as jobs of at most `size`. Images of hard sources are postponed."""
    indices = [index for index in range(len(window.images)) if not is_hard(window.sources[index])]
    for index in set(range(len(window.images))).difference(indices):
        window.settle(index, None)
    return (Job(window, indices[start : start + size]) for start in range(0, len(indices), size))


def without_hard(job: Job, is_hard: Callable[[Hashable], bool]) -> Job | None:
    """The waiting job without images of hard sources, which are postponed; None when nothing is left to do."""
    kept = []
    for index in job.indices:
        if is_hard(job.window.sources[index]):
            job.window.settle(index, None)
        elif job.window.wants(index):
            kept.append(index)
    return Job(job.window, kept, job.deaths) if kept else None

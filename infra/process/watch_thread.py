"""A thread that looks at something again and again, for others to ask what it saw."""

import threading
from collections.abc import Callable
from typing import Self

CLOSE_S = 5.0


class WatchThread:
    """Runs `watch(closing)` from `__enter__` to `__exit__`, which sets `closing` and waits for up to CLOSE_S.

    An error that ends it is raised where somebody asks: whoever reads what it saw calls `check` first.
    """

    def __init__(self, name: str, watch: Callable[[threading.Event], None]) -> None:
        self._watch, self._closing = watch, threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(CLOSE_S)

    def check(self) -> None:
        """For any thread. Raises what ended the watch, which is a defect."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._watch(self._closing)
        except Exception as error:  # noqa: BLE001 - `check` raises it where somebody sees it
            self._error = error

"""Who writes next: windows are worked on at the same time and write in the order in which they were closed."""

import asyncio


class Turn:
    """One window's place in the order."""

    def __init__(self, before: "Turn | None") -> None:
        self._before, self._over = before, asyncio.Event()

    async def come(self) -> None:
        """Wait until everybody before has passed on."""
        if self._before is not None:
            await self._before._over.wait()
            self._before = None

    def pass_on(self) -> None:
        self._over.set()


class Turns:
    """Hands out turns. A window that never passes on stops all later ones: its failure must end the process."""

    def __init__(self) -> None:
        self._last: Turn | None = None

    def next(self) -> Turn:
        self._last = Turn(self._last)
        return self._last

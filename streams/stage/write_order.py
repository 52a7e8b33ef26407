"""The order in which windows write: windows are worked on concurrently, and write in the order of their closing."""

import asyncio


class Turn:
    """The place of one window in the order."""

    def __init__(self, before: "Turn | None") -> None:
        self._before, self._over = before, asyncio.Event()

    async def wait(self) -> None:
        """Wait until every earlier window has passed its turn on."""
        if self._before is not None:
            await self._before._over.wait()
            self._before = None

    def pass_on(self) -> None:
        self._over.set()


class WriteOrder:
    """Hands out turns.

    A window that never passes its turn on blocks all later windows: its failure must end the process.
    """

    def __init__(self) -> None:
        self._last: Turn | None = None

    def next_turn(self) -> Turn:
        self._last = Turn(self._last)
        return self._last

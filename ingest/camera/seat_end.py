"""What it means that the pipe of a source is closed, or that its process was ended."""

from ingest.camera.session_end import MOVED, SessionEnd
from ingest.capture.groups import Seat


def ended_for_another(seat: Seat) -> SessionEnd | None:
    """The end of a source in whose process another one hung; None where none did."""
    other = seat.ended_for()
    return SessionEnd("group", f"its capture process was ended because {other} hung") if other else None


def end_of_pipe(seat: Seat) -> SessionEnd:
    """The source's pipe is closed: its process is gone, or only the reading of this source."""
    if end := ended_for_another(seat):
        return end
    if not seat.died() and seat.is_shared:
        return MOVED
    return SessionEnd("crashed", seat.cause_of_death())

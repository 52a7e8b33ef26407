"""Whether a camera hangs although it sends: always the same picture. Pure: time is an argument."""


class FrozenPicture:
    """Follows the pictures of one camera by their hashes; equal pixels are encoded to equal bytes."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._picture: int | None = None
        self._since_s = 0.0

    def same_s(self, picture: int, now_s: float) -> float:
        """For how long the camera has sent this picture and no other; 0.0 up to the limit."""
        if picture != self._picture:
            self._picture, self._since_s = picture, now_s
        for_s = now_s - self._since_s
        return for_s if for_s >= self._after_s else 0.0

    def forget(self) -> None:
        """The source is opened again: what it showed before does not count."""
        self._picture = None

"""What becomes of a URL, in the words that the frontier keeps. Pure."""

WAITING = "waiting"
PAGE, SITEMAP, PUBLISHED, REPEATED, UNCHANGED, MOVED = "page", "sitemap", "published", "repeated", "unchanged", "moved"
REFUSED, ERROR = "refused:", "error:"


def refused(reason: str) -> str:
    """The crawler did not request the URL, or did not take what came. `reason`: a snake_case word."""
    return REFUSED + reason


def error(reason: str) -> str:
    """The other side failed. `reason`: a snake_case word."""
    return ERROR + reason

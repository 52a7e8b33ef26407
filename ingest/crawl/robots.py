"""robots.txt by RFC 9309: what a site allows us, asked once a day."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from protego import Protego

from infra.settings import KIB
from ingest.crawl.fetch import REDIRECTS, Answer, FetchError
from ingest.crawl.frontier import ROBOTS_S, Frontier
from ingest.crawl.urls import ANYWHERE, Kind

MAX_ROBOTS_BYTES = 500 * KIB  # RFC 9309 2.5
_UNREACHABLE_S = 3600.0
_MAX_REDIRECTS = 5  # 2.3.1.2
_ATTEMPTS = 3
_MAX_ORIGINS = 1000
# A parsed text takes some fifteen times its length in memory.
_MAX_HELD_CHARACTERS = 4 * 1024 * KIB
# As lenient as protego, which reads rules once for each name in the lines before them.
_AGENT_LINE = re.compile(r"\s*user(?:-|\s+)?agent\s*[:\s]\s*(.*)", re.IGNORECASE)
_NOBODY = "-"

# Requests a URL, with a limit on its body.
FetchText = Callable[[str, int], Awaitable[Answer]]


class Rules:
    """What one site allows the crawler with this name. `text` None: nothing at all."""

    def __init__(self, text: str | None, user_agent: str, until_s: float) -> None:
        self._parsed = None if text is None else Protego.parse(for_one(text, user_agent))
        self._user_agent, self.until_s, self.characters = user_agent, until_s, len(text or "")

    def refusal(self, url: str) -> str | None:
        if self._parsed is None:
            return "robots_unreachable"
        return None if self._parsed.can_fetch(url, self._user_agent) else "robots"

    def crawl_delay_s(self) -> float | None:
        """The Crawl-delay, or the pace of a Request-rate where that is slower."""
        if self._parsed is None:
            return None
        rate = self._parsed.request_rate(self._user_agent)
        per_request_s = rate.seconds / rate.requests if rate and rate.requests else 0.0
        return max(self._parsed.crawl_delay(self._user_agent) or 0.0, per_request_s) or None

    def sitemaps(self, limit: int) -> list[str]:
        return [] if self._parsed is None else list(self._parsed.sitemaps)[:limit]


class Robots:
    """The rules of every site. 4xx allows everything, 5xx and no answer forbid everything (RFC 9309 2.3.1.3, 2.3.1.4).

    429 counts as no answer. A text is kept in the frontier for a day; that a site did not answer is believed for an
    hour. Only one request is under way for each site.
    """

    def __init__(self, fetch: FetchText, frontier: Frontier, user_agent: str, backoff_s: float = 1.0) -> None:
        self._fetch, self._frontier, self._user_agent, self._backoff_s = fetch, frontier, user_agent, backoff_s
        self._rules: OrderedDict[str, asyncio.Future[Rules]] = OrderedDict()

    async def of(self, origin: str) -> Rules:
        """Raises FetchError when the site's address is refused."""
        known = self._rules.get(origin)
        if known is not None and not (known.done() and _is_over(known)):
            return await asyncio.shield(known)
        task = asyncio.ensure_future(self._ask(origin))
        self._rules.pop(origin, None)
        self._rules[origin] = task
        try:
            return await task
        finally:
            while len(self._rules) > _MAX_ORIGINS or self.held() > _MAX_HELD_CHARACTERS:
                self._rules.popitem(last=False)

    def held(self) -> int:
        """Characters of the texts whose rules are in memory."""
        ended = (rules for rules in self._rules.values() if rules.done() and not rules.cancelled())
        return sum(rules.result().characters for rules in ended if rules.exception() is None)

    async def _ask(self, origin: str) -> Rules:
        text = self._frontier.robots(origin, time.time() - ROBOTS_S)
        if text is None:
            text = await self._request(f"{origin}/robots.txt")
            if text is None:
                return Rules(None, self._user_agent, time.monotonic() + _UNREACHABLE_S)
            self._frontier.keep_robots(origin, text)
        return Rules(text, self._user_agent, time.monotonic() + ROBOTS_S)

    async def _request(self, url: str) -> str | None:
        """The text; empty where there is none, None where the site does not answer."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._backoff_s * 2 ** (attempt - 1))
            try:
                return await self._follow(url)
            except FetchError as error:
                if error.is_refusal:
                    raise
                if error.reason.startswith("http_4") and error.reason != "http_429":
                    return ""
        return None

    async def _follow(self, url: str) -> str:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._fetch(url, MAX_ROBOTS_BYTES)
            if answer.status not in REDIRECTS:
                return answer.body.decode("utf-8-sig", errors="replace")
            link = ANYWHERE.link(url, answer.location, Kind.PAGE)
            if link.refusal is not None:
                raise FetchError(link.refusal, is_refusal=True)
            url = link.url
        return ""  # too many redirects: as if there were none (RFC 9309 2.3.1.2)


def for_one(text: str, user_agent: str) -> str:
    """The text with all names that are not ours made one, so that its rules are kept a few times only.

    Ours are `*` and, of the names that ours begins with, the longest.
    """
    lines = [line.partition("#")[0] for line in text.splitlines()]
    found = [_AGENT_LINE.fullmatch(line) for line in lines]
    names = {match[1].replace("*", "").strip().lower() for match in found if match}
    own = max((name for name in names if name and user_agent.lower().startswith(name)), key=len, default=None)

    def agent_line(name: str) -> str:
        name = name.strip().lower()
        bare = name.replace("*", "").strip()
        return f"User-agent: {name if name == '*' else bare if bare and bare == own else _NOBODY}"

    return "\n".join(agent_line(match[1]) if match else line for line, match in zip(lines, found, strict=True))


def _is_over(known: asyncio.Future[Rules]) -> bool:
    if known.cancelled() or known.exception() is not None:
        return True
    return known.result().until_s <= time.monotonic()

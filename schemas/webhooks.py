"""Signed webhooks, by the scheme of Standard Webhooks (standardwebhooks.com): to sign one, and to check one. Pure.

A request has three headers: `webhook-id`, which stays the same when it is sent again; `webhook-timestamp`, the time of
this attempt in seconds since 1970; `webhook-signature`, one or more of `v1,<base64>` with a space between. Signed by
HMAC-SHA256 is `<id>.<timestamp>.<body>`. A receiver needs nothing but this module, and this module nothing but Python.
"""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with
SECRET_BYTES = 32
TOLERANCE_S = 300
MAX_IDS = 100_000


class Refused(Exception):
    """A webhook that must not be believed. `reason`: missing_header, bad_timestamp, too_old, too_new, bad_signature or
    seen_before.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the webhook is refused: {reason}")


def new_secret() -> str:
    """A secret to sign with, as it is shown to a person."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(secret: str, webhook_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a webhook that is sent at `at_s`, in seconds since 1970."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{_signature(secret, webhook_id, at_s, body)}",
    }


class Verifier:
    """Checks webhooks of one secret, and refuses what is old or was seen before. From one thread.

    It remembers the last `max_ids` webhooks of the tolerance; a longer memory is not needed, because older ones are
    refused by their time.
    """

    def __init__(self, secret: str, tolerance_s: int = TOLERANCE_S, max_ids: int = MAX_IDS) -> None:
        _key(secret)
        self._secret, self._tolerance_s, self._max_ids = secret, tolerance_s, max_ids
        self._seen: OrderedDict[str, int] = OrderedDict()

    def verify(self, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
        """The id of a webhook that is genuine, new, and comes for the first time. Raises Refused.

        Call it with the bytes as they came, before the body is parsed. An id that was seen is refused: answer such a
        request with 200 if the first one was taken, so that it is not sent again.
        """
        lower = {name.lower(): value for name, value in headers.items()}
        webhook_id, time, given = (lower.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (webhook_id and time and given):
            raise Refused("missing_header")
        if not (time.isascii() and time.isdigit() and len(time) <= 12):
            raise Refused("bad_timestamp")
        at_s = int(time)
        if at_s < now_s - self._tolerance_s:
            raise Refused("too_old")
        if at_s > now_s + self._tolerance_s:
            raise Refused("too_new")
        wanted = f"v1,{_signature(self._secret, webhook_id, at_s, body)}".encode()
        # Servers hand on bytes of a header that are no UTF-8 as surrogates: no such signature is right, none may raise.
        if not any(hmac.compare_digest(wanted, one.encode(errors="replace")) for one in given.split(" ")):
            raise Refused("bad_signature")
        if webhook_id in self._seen:
            raise Refused("seen_before")
        self._remember(webhook_id, at_s, now_s)
        return webhook_id

    def _remember(self, webhook_id: str, at_s: int, now_s: float) -> None:
        self._seen[webhook_id] = at_s
        while len(self._seen) > self._max_ids or next(iter(self._seen.values())) < now_s - self._tolerance_s:
            self._seen.popitem(last=False)


def _signature(secret: str, webhook_id: str, at_s: int, body: bytes) -> str:
    signed = b".".join((webhook_id.encode(errors="surrogatepass"), str(at_s).encode(), body))
    return base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:  # binascii.Error is one
        raise ValueError("a webhook's secret is whsec_ and base64") from None

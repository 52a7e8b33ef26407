"""A digest of named values, for headers and for keys of the cache: it is the same only where all of them are."""

import hashlib
import json
import re
from collections.abc import Mapping

_DIGEST = re.compile(r"[0-9a-f]{32}")


def digest_of(fields: Mapping[str, object]) -> str:
    """The first 128 bits of the SHA-256 of the fields as JSON, as 32 hex digits.

    JSON quotes names and values, so no two sets of fields give the same text, as `a:b` + `c` and `a` + `b:c` would.
    TypeError or ValueError for values that JSON does not have, NaN among them.
    """
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def is_digest(text: str) -> bool:
    """Whether `digest_of` can have returned it."""
    return _DIGEST.fullmatch(text) is not None

"""Tokens of an OIDC server for aiokafka, asked for as librdkafka asks: grant type client_credentials.

Source: rdkafka_sasl_oauthbearer_oidc.c of librdkafka 2.16. A request takes up to 20 s, as there.
"""

import base64
import binascii
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from aiokafka.abc import AbstractTokenProvider

REQUEST_S = 20.0
# A token is used for this share of its life, as in librdkafka.
LIFE_SHARE = 0.8
MAX_ANSWER_BYTES = 1024 * 1024
_URL, _ID, _SECRET, _SCOPE = (
    f"sasl.oauthbearer.{name}" for name in ("token.endpoint.url", "client.id", "client.secret", "scope")
)


class OidcTokens(AbstractTokenProvider):  # type: ignore[misc]
    """One token for all connections, renewed before it ends. For one event loop."""

    def __init__(self, keys: Mapping[str, Any], context: ssl.SSLContext) -> None:
        """Raises ValueError: a sentence that begins with the key that is missing."""
        for key in (_URL, _ID, _SECRET):
            if key not in keys:
                raise ValueError(f'"{key}" is missing, which "sasl.oauthbearer.method" = "oidc" needs')
        self._url, self._context = str(keys[_URL]), context
        pair = base64.b64encode(f"{keys[_ID]}:{keys[_SECRET]}".encode()).decode()
        self._headers = {
            "Accept": "application/json",
            "Authorization": f"Basic {pair}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        scope = str(keys.get(_SCOPE, ""))
        self._form = "grant_type=client_credentials" + (f"&scope={scope}" if scope else "")
        pairs = [part.strip().partition("=") for part in str(keys.get("sasl.oauthbearer.extensions", "")).split(",")]
        self._extensions = {name: value for name, _, value in pairs if name}
        self._token, self._until_s = "", 0.0

    async def token(self) -> str:
        """Raises ConnectionError, after which aiokafka tries again as after a lost connection."""
        if time.time() >= self._until_s:
            self._token, ends_s = await self._ask()
            self._until_s = time.time() + LIFE_SHARE * (ends_s - time.time())
        return self._token

    def extensions(self) -> dict[str, str]:
        return self._extensions

    async def _ask(self) -> tuple[str, float]:
        try:
            async with (
                httpx2.AsyncClient(verify=self._context, timeout=REQUEST_S) as client,
                client.stream("POST", self._url, headers=self._headers, content=self._form) as answer,
            ):
                answer.raise_for_status()
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ConnectionError("the token server's answer is too long")
            token = str(json.loads(body)["access_token"])
            return token, _end_s(token)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ConnectionError(f"no token from the server that sasl.oauthbearer names: {error}") from error
        except (ValueError, TypeError, LookupError) as error:
            raise ConnectionError("the token server's answer holds no JWT that ends at a time") from error


def _end_s(token: str) -> float:
    """The time at which a JWT ends. Raises ValueError, TypeError and LookupError for anything else."""
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return float(claims["exp"])

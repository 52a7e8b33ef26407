"""Signed webhooks: what a receiver believes."""

import pytest

from schemas.webhooks import Refused, Verifier, new_secret, signed_headers


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries (standard-webhooks, libraries/*/test)."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_is_believed_once() -> None:
    secret = new_secret()
    verifier = Verifier(secret)
    headers = {name.title(): value for name, value in signed_headers(secret, "msg_1", 1_000, b"{}").items()}
    assert verifier.verify(headers, b"{}", 1_010) == "msg_1"
    two = {**headers, "Webhook-Signature": "v1,bm90 " + headers["Webhook-Signature"]}
    for given, body, now_s, reason in (
        (headers, b"{}", 1_010, "seen_before"),
        (two, b"{}", 1_010, "seen_before"),
        (headers, b"{ }", 1_010, "bad_signature"),
        (headers, b"{}", 1_301, "too_old"),
        (headers, b"{}", 600, "too_new"),
        ({**headers, "Webhook-Timestamp": "1_000"}, b"{}", 1_010, "bad_timestamp"),
        ({**headers, "Webhook-Id": "msg_2"}, b"{}", 1_010, "bad_signature"),
        ({}, b"{}", 1_010, "missing_header"),
    ):
        with pytest.raises(Refused) as refused:
            verifier.verify(given, body, now_s)
        assert refused.value.reason == reason
    with pytest.raises(Refused) as refused:
        Verifier(new_secret()).verify(headers, b"{}", 1_010)
    assert refused.value.reason == "bad_signature"


def test_its_memory_is_bounded() -> None:
    secret = new_secret()
    verifier = Verifier(secret, max_ids=10)
    for number in range(30):
        verifier.verify(signed_headers(secret, f"m{number}", 1_000, b""), b"", 1_000)
    assert len(verifier._seen) == 10


@pytest.mark.parametrize("name", ["webhook-id", "webhook-signature"])
def test_a_header_that_is_no_text_is_refused_like_any_other(name: str) -> None:
    secret = new_secret()
    headers = {**signed_headers(secret, "msg_1", 1_000, b"{}"), name: "v1,\udcff"}
    with pytest.raises(Refused, match="bad_signature"):
        Verifier(secret).verify(headers, b"{}", 1_000)

"""What `config check` and `status` show must never be a secret."""

from typing import Any

import pytest

from infra.settings import load_settings
from infra.settings.mask import flat_settings, is_secret, masked_url, shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://user:p%40ss@cache:6379/1", "redis://user:***@cache:6379/1"),
        ("redis://:pass@cache:6379", "redis://:***@cache:6379"),
        ("https://token@registry/apis", "https://***@registry/apis"),
        ("redis://a:b@c@cache:1", "redis://a:***@cache:1"),
        ("redis://:pa/ss=word@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://:a[b@cache:1/0", "redis://:***@cache:1/0"),
        ("https://camera/still?mail=a@b", "https://camera/still?mail=a@b"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
        ("", ""),
    ],
)
def test_a_password_in_a_url_is_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.config",
    ],
)
def test_secret_client_keys_are_masked(key: str) -> None:
    sections: dict[str, Any] = {"kafka": {"client": {key: "open sesame", "sasl.username": "me"}}}
    shown = flat_settings(load_settings(sections))
    assert shown[f'kafka.client."{key}"'] == "***"
    assert shown['kafka.client."sasl.username"'] == "me"
    assert "open sesame" not in str(shown)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("camera.password", True),
        ('kafka.client."ssl.key.pem"', True),
        ("sasl.jaas.config", True),
        ("api_key", True),
        ("access.token", True),
        ("ssl.key.location", False),
        ("sasl.oauthbearer.token.endpoint.url", False),
        ("max_held_bytes", False),
        ("infer.model", False),
    ],
)
def test_one_rule_says_what_is_secret(name: str, secret: bool) -> None:
    assert is_secret(name) is secret
    assert shown(name, "value") == ("***" if secret else "value")
    assert shown(name, "") == ""


def test_every_setting_is_listed_by_its_dotted_name() -> None:
    shown = flat_settings(load_settings({"redis": {"url": "redis://:pass@cache:1"}, "infer": {"model": "null"}}))
    assert shown["redis.url"] == "redis://:***@cache:1"
    assert shown["infer.model"] == "null"
    assert shown["topics.partitions"] == 12


def test_the_password_of_cameras_is_masked_and_an_unset_one_is_not() -> None:
    assert flat_settings(load_settings({"camera": {"password": "geheim"}}))["camera.password"] == "***"
    assert flat_settings(load_settings({}))["camera.password"] == ""

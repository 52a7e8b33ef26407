"""A real broker behind TLS, certificates, users and tokens: a key says the same to every client, or is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from infra.kafka.brokers import find_brokers
from infra.kafka.clients import admin
from infra.kafka.start_checks import require_kafka
from schemas.errors import Unavailable
from tests.support.deployment import Deployment
from tests.support.deployment import deployment as new_deployment
from tests.support.runner import Runner
from tests.support.secured_broker import PASSWORD, USER, SecuredBroker, TokenServer, secured_broker
from tests.support.stream_ends import Feed, Outcomes

pytestmark = pytest.mark.timeout(300)

START = ("stream", "--model", "null", "--no-cache")
NO_HOST = {"ssl.endpoint.identification.algorithm": "none"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture
def deployment(secured: SecuredBroker) -> Iterator[Deployment]:
    """Its own client uses the plain listener."""
    with new_deployment(secured.services) as made:
        yield made


@pytest.fixture
def sightline(deployment: Deployment) -> Iterator[Runner]:
    runner = Runner(deployment.env)
    yield runner
    runner.close()


def env(bootstrap: str, **keys: Any) -> dict[str, str]:
    return {"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": bootstrap, "SIGHTLINE_KAFKA__CLIENT": json.dumps(keys)}


def tls(secured: SecuredBroker, case: str) -> dict[str, str]:
    """The settings of one way to trust, and to be trusted."""
    authority, address = secured.authority, secured.addresses
    ca = {"security.protocol": "SSL", "ssl.ca.location": str(authority.ca)}
    me = authority.sign(f"me {case}", password=PASSWORD if "encrypted" in case else "")
    text = {"ssl.certificate.pem": me.certificate_pem, "ssl.key.pem": me.key_pem, "ssl.key.password": PASSWORD}
    files = {"ssl.certificate.location": str(me.certificate), "ssl.key.location": str(me.key)}
    folder = {"ssl.ca.location": str(authority.hashed_folder())}
    user = {**ca, "security.protocol": "sasl_ssl", "sasl.username": USER, "sasl.password": PASSWORD}
    return {
        "host name check off": env(address["TLS"], **ca, **NO_HOST),
        "authority as text": env(
            address["TLS"], **{"security.protocol": "ssl", "ssl.ca.pem": authority.ca.read_text(), **NO_HOST}
        ),
        "verification off": env(
            address["TLS"], **{"security.protocol": "SSL", "enable.ssl.certificate.verification": False}
        ),
        "authority in a folder": env(f'"SSL://{address["TLS"]}";', **{**ca, **folder, **NO_HOST}),
        "certificate in files": env(address["MTLS"], **ca, **files),
        "encrypted key in text": env(address["MTLS"].replace("127.0.0.1", "localhost"), **ca, **text),
        "user": env(f"SASL_SSL://{address['SASL']},", **{**user, "sasl.mechanisms": "PLAIN"}),
        "user by SCRAM": env(address["SASL"], **{**user, "sasl.mechanism": "SCRAM-SHA-256"}),
    }[case]  # fmt: skip


CASES = [
    "host name check off", "authority as text", "verification off", "authority in a folder", "certificate in files",
    "encrypted key in text", "user",
]  # fmt: skip


def reads_a_frame(stage_env: dict[str, str], sightline: Runner, feed: Feed, outcomes: Outcomes) -> None:
    feed.send(1)
    stage = sightline.start(*START, env=stage_env)
    feed.close()
    outcomes.wait_for(feed.places)
    assert stage.stop() == 0, stage.stderr


@pytest.mark.parametrize("case", CASES)
def test_the_stage_connects_as_the_other_clients_do(
    case: str, secured: SecuredBroker, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    """It looks for brokers, topics and rights with librdkafka, and reads with aiokafka."""
    reads_a_frame(tls(secured, case), sightline, feed, outcomes)


def test_a_user_with_a_salted_password(
    secured: SecuredBroker, deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    client = admin(deployment.settings())
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    change = UserScramCredentialUpsertion(USER, info, PASSWORD.encode(), b"salt")
    for done in client.alter_user_scram_credentials([change]).values():
        done.result(30)
    reads_a_frame(tls(secured, "user by SCRAM"), sightline, feed, outcomes)


def test_tokens_of_an_oidc_server(secured: SecuredBroker, sightline: Runner, feed: Feed, outcomes: Outcomes) -> None:
    with TokenServer() as server:
        keys = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": USER,
            "sasl.oauthbearer.client.secret": PASSWORD,
            "sasl.oauthbearer.scope": "cameras",
            "sasl.oauthbearer.extensions": "site=north",
            "sasl.oauthbearer.token.endpoint.url": server.url,
        }
        reads_a_frame(env(secured.addresses["TOKENS"], **keys), sightline, feed, outcomes)
    assert {json.dumps(form, sort_keys=True) for form in server.forms} == {
        '{"grant_type": ["client_credentials"], "scope": ["cameras"]}'
    }, "both clients ask alike"


def test_camera_stage_and_worker_behind_tls(secured: SecuredBroker, sightline: Runner, outcomes: Outcomes) -> None:
    settings = tls(secured, "host name check off")
    findings = json.loads(sightline.run("doctor", "--json", env=settings).stdout)
    said = {(found["subject"], found["verdict"]) for found in findings}
    assert {("kafka", "ok"), ("rights", "ok"), ("groups", "ok")} <= said
    assert not {("kafka", "fail"), ("stream", "fail")} & said
    sightline.start(*START, env=settings)
    sightline.start("infer", "--model", "null", "--no-cache", env=settings)
    camera = ("camera", "--fps", "5", "--id", "case", "--source", "sim:coffee")
    sightline.start(*camera, env=settings)
    places = set[tuple[int, int]]()
    while not outcomes.labels:
        outcomes.wait_for(places, timeout_s=60)
        outcomes.read()
    assert outcomes.labels[0].source_id == "case"


def test_what_the_stage_cannot_do_is_named_before_anything_starts(secured: SecuredBroker, sightline: Runner) -> None:
    authority = secured.authority
    store = authority.keystore(authority.sign("stored"), PASSWORD)
    keys = {
        "security.protocol": "SSL",
        "ssl.ca.location": str(authority.ca),
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": PASSWORD,
    }
    settings = env(secured.addresses["MTLS"], **keys)
    for words in (START, ("config", "check")):
        done = sightline.run(*words, env=settings)
        assert done.returncode == 2, done.stderr
        assert '"ssl.keystore.location"' in done.stderr and "openssl pkcs12" in done.stderr
        assert PASSWORD not in done.stderr
    done = sightline.run("doctor", env=settings)
    assert done.returncode == 1
    assert "fail  stream " in done.stdout and "ok    kafka " in done.stdout, "it holds for librdkafka"
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"security.protocol": "SSL"}, "certificate verify failed"),
        (
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": USER, "sasl.password": "no"},
            "Authentication failed",
        ),
    ],
    ids=["a certificate that nobody trusts", "a wrong password"],
)
def test_a_refusal_is_told_with_its_reason(
    keys: dict[str, Any], said: str, secured: SecuredBroker, deployment: Deployment
) -> None:
    if "sasl.username" in keys:
        keys = {**keys, "ssl.ca.location": str(secured.authority.ca)}
    settings = deployment.settings(kafka={"bootstrap_servers": secured.addresses["SASL"], "client": keys})
    with pytest.raises(Unavailable, match=said) as caught:
        require_kafka(settings)
    assert "keys of security in [kafka.client]" in str(caught.value)
    assert said in find_brokers(settings).hint, "the doctor says it too"

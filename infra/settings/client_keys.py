"""What a key of librdkafka means to Sightline: one table of every key of librdkafka 2.16, and its spellings. Pure.

The stream stage reads through Faust, whose client (aiokafka) has other options. A key therefore holds for both clients
(HOLDS), concerns no reader of ours or only librdkafka's own (NO_MATTER), holds for librdkafka's clients alone and the
user is told so (NOTED), is refused by name for the stage (NOT_IN_STAGE), is decided by Sightline and refused (OURS),
or has no effect and the user is told so (OVERRULED).
Source: librdkafka's CONFIGURATION.md; a test compares the table with the library that is installed.
"""

import difflib
from collections.abc import Mapping
from typing import Any

Value = str | int | float | bool


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# `infra.kafka.stage_keys`, `tls` and `oauth` translate these for the stage.
HOLDS = _names("""
    client.id client.rack client.dns.lookup broker.address.family security.protocol connections.max.idle.ms
    metadata.max.age.ms topic.metadata.refresh.interval.ms retry.backoff.ms session.timeout.ms heartbeat.interval.ms
    fetch.min.bytes fetch.max.bytes fetch.wait.max.ms max.partition.fetch.bytes isolation.level check.crcs
    socket.timeout.ms
    ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem ssl.cipher.suites ssl.crl.location
    ssl.endpoint.identification.algorithm ssl.key.location ssl.key.password ssl.key.pem
    enable.ssl.certificate.verification
    sasl.mechanism sasl.username sasl.password https.ca.location https.ca.pem
    sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.extensions sasl.oauthbearer.grant.type
    sasl.oauthbearer.method sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url
""")

# Of producers, of logs and figures, of the queues inside librdkafka, or without an effect in librdkafka itself.
NO_MATTER = _names("""
    acks batch.num.messages batch.size compression.level compression.type delivery.timeout.ms enable.gapless.guarantee
    enable.idempotence linger.ms max.in.flight.requests.per.connection message.copy.max.bytes message.max.bytes
    partitioner queue.buffering.backpressure.threshold queue.buffering.max.kbytes queue.buffering.max.messages
    queuing.strategy request.timeout.ms retries sticky.partitioning.linger.ms transaction.timeout.ms
    debug enable.metrics.push enable.random.seed internal.termination.signal log.connection.close log.thread.name
    log_level statistics.interval.ms
    fetch.error.backoff.ms fetch.queue.backoff.ms queued.max.messages.kbytes queued.min.messages
    receive.message.max.bytes coordinator.query.interval.ms topic.metadata.refresh.fast.interval.ms
    topic.metadata.propagation.max.ms retry.backoff.max.ms api.version.request.timeout.ms max.poll.records
    share.acknowledgement.mode auto.commit.interval.ms offset.store.path offset.store.sync.interval.ms
    consume.callback.max.messages group.protocol.type produce.offset.report reconnect.backoff.jitter.ms
    socket.blocking.max.ms topic.metadata.refresh.fast.cnt builtin.features
    sasl.kerberos.keytab sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin sasl.kerberos.principal
    sasl.kerberos.service.name sasl.oauthbearer.sub.claim.name
""")

# aiokafka has no such option, and what is read and committed is the same without it.
NOTED = _names("""
    api.version.fallback.ms api.version.request broker.address.ttl broker.version.fallback
    group.protocol group.remote.assignor max.poll.interval.ms metadata.recovery.rebootstrap.trigger.ms
    metadata.recovery.strategy partition.assignment.strategy reconnect.backoff.max.ms reconnect.backoff.ms
    socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails socket.nagle.disable
    socket.receive.buffer.bytes socket.send.buffer.bytes topic.metadata.refresh.sparse
""")

# key -> what to use instead.
_PEM_FILES = (
    "convert it with `openssl pkcs12 -in FILE -out client.pem`, and name that file in ssl.certificate.location and "
    "ssl.key.location (the password in ssl.key.password)"
)
_OIDC = (
    "set sasl.oauthbearer.method = oidc, with sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and "
    "sasl.oauthbearer.token.endpoint.url"
)
NOT_IN_STAGE: Mapping[str, str] = {
    "ssl.keystore.location": _PEM_FILES,
    "ssl.keystore.password": _PEM_FILES,
    "ssl.ca.certificate.stores": "name the certificates in ssl.ca.location or ssl.ca.pem",
    "ssl.curves.list": "leave it out: both clients then offer OpenSSL's own",
    "ssl.sigalgs.list": "leave it out: both clients then offer OpenSSL's own",
    "ssl.providers": "set the providers in the openssl.cnf that OPENSSL_CONF names",
    "ssl.engine.location": "keep the key in a file and name it in ssl.key.location",
    "ssl.engine.id": "keep the key in a file and name it in ssl.key.location",
    "topic.blacklist": "set topic_prefix, or take the right on these topics away with `kafka-acls.sh`",
    "plugin.library.paths": "set it in [kafka.producer] and [kafka.admin], where it holds",
    **dict.fromkeys(
        _names("""
            enable.sasl.oauthbearer.unsecure.jwt
            sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud
            sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
            sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
            sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
            sasl.oauthbearer.assertion.jwt.template.file sasl.oauthbearer.assertion.private.key.file
            sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
            sasl.oauthbearer.config sasl.oauthbearer.metadata.authentication.type
        """),
        _OIDC,
    ),
}

# key -> (the value that is in force, what to do).
_ONLY_FUNCTIONS = "leave it out: it is a function of the program, and no setting"
OURS: Mapping[str, tuple[Value | None, str]] = {
    "bootstrap.servers": (None, "set kafka.bootstrap_servers"),
    "group.id": (None, "set topic_prefix, with which every group begins"),
    "group.instance.id": (None, "set stream.group_instance_id, infer.group_instance_id or sink.group_instance_id"),
    "transactional.id": (None, "set infer.transactional_id"),
    "allow.auto.create.topics": (False, "leave it out: `sightline topics create` makes the topics"),
    "enable.auto.commit": (False, "leave it out: offsets are committed when the work is done"),
    "enable.auto.offset.store": (False, "leave it out: offsets are committed when the work is done"),
    "offset.store.method": ("broker", "leave it out: offsets are committed to the brokers"),
    "enable.partition.eof": (False, "leave it out: Sightline sets it where it looks for the end"),
    "delivery.report.only.error": (False, "leave it out: a record is finished when its report is there"),
    "log.queue": (False, "leave it out: the client's lines are in the log at log.level = debug"),
    "enabled_events": (0, _ONLY_FUNCTIONS),
    **dict.fromkeys(
        _names("""
            error_cb throttle_cb stats_cb log_cb background_event_cb socket_cb connect_cb closesocket_cb open_cb
            resolve_cb opaque default_topic_conf ssl_key ssl_certificate ssl_ca ssl_engine_callback_data
            ssl.certificate.verify_cb oauthbearer_token_refresh_cb interceptors consume_cb rebalance_cb
            offset_commit_cb dr_cb dr_msg_cb partitioner_cb msg_order_cmp
            logger on_commit on_delivery oauth_cb default.topic.config
        """),
        (None, _ONLY_FUNCTIONS),
    ),
}

# May stand in a table that is shared with other programs, and has no effect here: every command that reads says so.
# Every group begins at the first record that is there.
OVERRULED = frozenset({"auto.offset.reset"})

KNOWN = HOLDS | NO_MATTER | NOTED | NOT_IN_STAGE.keys() | OURS.keys() | OVERRULED

# Other names of librdkafka -> the name in the table above.
ALIASES: Mapping[str, str] = {
    "auto.commit.enable": "enable.auto.commit",
    "compression.codec": "compression.type",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "message.send.max.retries": "retries",
    "message.timeout.ms": "delivery.timeout.ms",
    "metadata.broker.list": "bootstrap.servers",
    "queue.buffering.max.ms": "linger.ms",
    "request.required.acks": "acks",
    "sasl.mechanisms": "sasl.mechanism",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
}

# Names of the Java client and of kafka-python, which people copy.
_ELSEWHERE: Mapping[str, str] = {
    "buffer.memory": "queue.buffering.max.kbytes",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "max.request.size": "message.max.bytes",
    "sasl.jaas.config": "sasl.username",
    "sasl.plain.password": "sasl.password",
    "sasl.plain.username": "sasl.username",
    "ssl.cafile": "ssl.ca.location",
    "ssl.certfile": "ssl.certificate.location",
    "ssl.check.hostname": "ssl.endpoint.identification.algorithm",
    "ssl.crlfile": "ssl.crl.location",
    "ssl.keyfile": "ssl.key.location",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.truststore.location": "ssl.ca.location",
}


def client_keys(given: Any) -> Any:
    """The keys of a table of the settings by their names here; anything but a table is returned as it is.

    Tables within tables are keys with dots: TOML reads `ssl.ca.location = "x"` so. Raises ValueError for keys that
    librdkafka does not know and for those that Sightline decides, all in one sentence, without a value.
    """
    if not isinstance(given, Mapping):
        return given
    keys, faults = dict[str, Any](), []
    for name, value in _flat("", given):
        key = _own_name(name)
        if fault := _fault(name, key, value):
            faults.append(fault)
        keys.pop(key, None)  # of two spellings of a key the later one is in force, as in librdkafka
        keys[key] = value
    if faults:
        raise ValueError("; ".join(faults))
    return keys


def _flat(prefix: str, table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        inner = isinstance(value, Mapping)
        found += _flat(f"{prefix}{name}.", value) if inner else [(f"{prefix}{name}", value)]
    return found


def _own_name(name: str) -> str:
    name = ALIASES.get(name, name)
    # librdkafka takes topic properties with this prefix as well.
    bare = name.removeprefix("topic.")
    return name if name in KNOWN else ALIASES.get(bare, bare) if ALIASES.get(bare, bare) in KNOWN else name


def _fault(name: str, key: str, value: Any) -> str:
    if key not in KNOWN:
        asked = name.lower().replace("_", ".")
        close = (
            [_ELSEWHERE[asked]]
            if asked in _ELSEWHERE
            else difflib.get_close_matches(asked, sorted(KNOWN | ALIASES.keys()), 1)
        )
        return f'"{name}" is no key of librdkafka' + (f': did you mean "{close[0]}"?' if close else "")
    if not isinstance(value, Value):
        return f'"{name}" must be text, a number, true or false'
    if key in OURS:
        in_force, advice = OURS[key]
        if in_force is None or str(value).lower() != str(in_force).lower():
            return f'"{name}" is decided by Sightline: {advice}'
    return ""

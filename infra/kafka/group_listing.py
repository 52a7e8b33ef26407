"""Every consumer group of the cluster: its state, its members, and its committed offsets, without joining any.

Describe rights are enough. Offsets come through kafka-python: one request a coordinator for all of its groups, where
confluent-kafka asks for one group a call, and ends the process when a coordinator answers with an error. Members come
through confluent-kafka, which knows both group protocols.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError as PythonKafkaError
from kafka.errors import TopicAuthorizationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from infra.kafka import clients
from infra.kafka.errors import failure_of
from infra.kafka.key_values import given_keys
from infra.kafka.listed import GroupMember, ListedGroup, matches
from infra.kafka.oauth import OidcTokens
from infra.kafka.stage_keys import security_arguments
from infra.process import logs
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.errors import ConfigError, Unavailable

log = logs.get(__name__)


@dataclass(slots=True)
class Offsets:
    """Committed offsets by group, and a sentence for each group whose offsets were not told."""

    committed: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class GroupListing:
    """Asks the cluster about its groups; for one thread. Raises Unavailable or KafkaFailure without an answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.kafka.start_timeout_ms / 1000
        self._describer = clients.admin(settings)
        self._lister: KafkaAdminClient | None = None

    def close(self) -> None:
        if self._lister is not None:
            self._lister.close()
            self._lister = None

    def groups(self, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()) -> list[ListedGroup]:
        """The groups whose names match one of the patterns `include` and none of `exclude`, by name."""
        found = self._ask(lambda client: client.list_groups())
        listed = [ListedGroup(one["group_id"], one["group_state"], one["group_type"].lower()) for one in found]
        return sorted((one for one in listed if matches(one.group, include, exclude)), key=lambda one: one.group)

    def members(self, groups: Iterable[str]) -> tuple[dict[str, list[GroupMember]], dict[str, str]]:
        """The members by group, and a sentence for each group whose members were not told."""
        wanted = list(groups)
        members: dict[str, list[GroupMember]] = {}
        refused: dict[str, str] = {}
        if not wanted:
            return members, refused
        answers = self._describer.describe_consumer_groups(wanted, request_timeout=self._timeout_s)
        for group, answer in answers.items():
            try:
                members[group] = [_member(one) for one in answer.result().members]
            except confluent_kafka.KafkaException as error:
                refused[group] = str(failure_of(error))
        return members, refused

    def offsets(self, groups: Sequence[str]) -> Offsets:
        """All committed offsets of the groups. A group that has none, or does not exist, has an empty entry."""
        found = Offsets()
        self._add_offsets(list(groups), found)
        return found

    def hidden_topics(self, topics: Iterable[str]) -> set[str]:
        """Those of the topics that exist and that this user has no right to see. Creates none."""
        wanted = list(topics)
        if not wanted:
            return set()
        described = self._ask(lambda client: client.describe_topics(wanted))
        return {one["name"] for one in described if one["error_code"] == TopicAuthorizationFailedError.errno}

    def _add_offsets(self, groups: list[str], found: Offsets) -> None:
        """The client raises at the first error of any group: then each half is asked for by itself."""
        if not groups:
            return
        try:
            answers = self._ask(lambda client: client.list_group_offsets(dict.fromkeys(groups)))
        except Unavailable as error:
            if len(groups) == 1:
                found.refused[groups[0]] = error.hint
                return
            self._add_offsets(groups[: len(groups) // 2], found)
            self._add_offsets(groups[len(groups) // 2 :], found)
            return
        for group, offsets in answers.items():
            found.committed[group] = {
                TopicPartition(place.topic, place.partition): offset.offset
                for place, offset in offsets.items()
                if offset.offset >= 0
            }

    def _ask(self, question: Any) -> Any:
        """After an error the client is made anew: it never forgets a coordinator that it once knew."""
        try:
            if self._lister is None:
                # It logs every long answer and what it tries again by itself, with tracebacks; what fails, it raises.
                logging.getLogger("kafka").setLevel(logging.CRITICAL)
                self._lister = KafkaAdminClient(**python_client_keys(self._settings))
            return question(self._lister)
        except PythonKafkaError as error:
            self.close()
            address = clients.bootstrap(self._settings)
            raise Unavailable("Kafka", address, f"{type(error).__name__}: {error}", answers=True) from error


def python_client_keys(settings: Settings) -> dict[str, Any]:
    """The settings of a kafka-python client, from the keys of librdkafka. Raises ConfigError, which names the key."""
    timeout_ms = settings.kafka.start_timeout_ms
    try:
        arguments = security_arguments(given_keys(settings.kafka.client, settings.kafka.admin))
    except ValueError as error:
        raise ConfigError(f"the lag monitor: {error}") from error
    context, tokens = arguments.get("ssl_context"), arguments.pop("sasl_oauth_token_provider", None)
    if tokens is not None:
        arguments["sasl_oauth_token_provider"] = _Tokens(tokens)
    return {
        "bootstrap_servers": clients.bootstrap(settings).split(","),
        "client_id": "sightline-lag",
        "request_timeout_ms": timeout_ms,
        "bootstrap_timeout_ms": timeout_ms,
        "ssl_check_hostname": context is None or context.check_hostname,
        **arguments,
    }


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """The tokens of the stage's client, for a client without an event loop."""

    def __init__(self, tokens: OidcTokens) -> None:
        super().__init__()
        self._tokens = tokens

    def token(self) -> str:
        return asyncio.run(self._tokens.token())

    def extensions(self) -> dict[str, str]:
        return self._tokens.extensions()


def _member(described: Any) -> GroupMember:
    assigned = described.assignment.topic_partitions if described.assignment else []
    return GroupMember(
        described.member_id,
        described.client_id,
        described.host.removeprefix("/"),
        frozenset(TopicPartition(one.topic, one.partition) for one in assigned),
    )

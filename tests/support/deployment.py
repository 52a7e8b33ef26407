"""One deployment per test: topics under a prefix of its own, a Redis database of its own, the settings for both."""

import contextlib
import itertools
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import redis

from infra.kafka.clients import admin
from infra.kafka.topic_admin import delete_topics, ensure_topics
from infra.kafka.topics import TopicNames
from infra.settings import Settings, load_settings
from tests.support.services import Services

PARTITIONS = 4
_REDIS_DATABASES = 16
_next_database = itertools.count()


@dataclass(frozen=True)
class Deployment:
    """Topics and a Redis database of one test: `settings` for code in this process, `env` for child processes."""

    services: Services
    prefix: str
    redis_url: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment for a `sightline` process: this process's, but only the test's own SIGHTLINE_* variables."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
        return {**inherited, **self.variables}

    @property
    def variables(self) -> dict[str, str]:
        return {
            "SIGHTLINE_HOME": str(self.services.home),
            "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": self.services.bootstrap_servers,
            "SIGHTLINE_REDIS__URL": self.redis_url,
            "SIGHTLINE_TOPIC_PREFIX": self.prefix,
            "SIGHTLINE_TOPICS__PARTITIONS": str(PARTITIONS),
            **self.extra,
        }

    def settings(self, **sections: dict[str, Any]) -> Settings:
        """The same settings for this process. Given sections override: `settings(infer={"model": "null"})`."""
        return settings_from(self.variables, sections)

    @property
    def topics(self) -> TopicNames:
        return TopicNames.for_lane(self.prefix)

    def create_topics(self) -> None:
        ensure_topics(self.settings())

    def delete_topics(self) -> None:
        delete_topics(self.settings())

    def delete(self, *topics: str) -> None:
        """Delete these topics, and return once the broker does not name them any more."""
        client = admin(self.settings())
        for future in client.delete_topics(list(topics)).values():
            future.result(30)
        until = time.monotonic() + 30
        while self.existing() & set(topics):
            assert time.monotonic() < until, "still there"
            time.sleep(0.1)

    def existing(self) -> set[str]:
        """The names of all topics that are there."""
        return set(admin(self.settings()).list_topics(timeout=30).topics)

    def partitions(self, topic: str) -> int:
        return len(admin(self.settings()).list_topics(timeout=30).topics[topic].partitions)

    def make_again(self, *topics: str) -> None:
        """Delete these topics and create them as they were, as people do to be rid of a backlog."""
        self.delete(*topics)
        self.create_topics()

    def delete_before(self, topic: str, offset: int, partitions: Sequence[int] = (0,)) -> None:
        """Delete the records of these partitions before this offset, as retention does."""
        places = [confluent_kafka.TopicPartition(topic, one, offset) for one in partitions]
        client = admin(self.settings())  # its answers come only while it is held
        for future in client.delete_records(places).values():
            future.result(30)


@contextmanager
def deployment(services: Services, **extra: str) -> Iterator[Deployment]:
    """Creates the topics and deletes them at the end. The Redis database is empty at the start."""
    made = Deployment(services, f"t-{uuid.uuid4().hex[:8]}-", _fresh_database(services), extra)
    made.create_topics()
    try:
        yield made
    finally:
        # A fault test may have stopped the broker for good.
        with contextlib.suppress(Exception):
            made.delete_topics()


def settings_from(variables: dict[str, str], sections: dict[str, Any]) -> Settings:
    """`load_settings` with these SIGHTLINE_* variables and no others."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("SIGHTLINE_")}
    for name in kept:
        del os.environ[name]
    os.environ.update(variables)
    try:
        return load_settings(sections)
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(kept)


def _fresh_database(services: Services) -> str:
    """The next database of the local Valkey, emptied; a Redis that the environment names is used as it is."""
    if services.valkey is None:
        return services.redis_url
    url = f"{services.redis_url.rpartition('/')[0]}/{next(_next_database) % _REDIS_DATABASES}"
    client = redis.Redis.from_url(url)
    client.flushdb()
    client.close()
    return url

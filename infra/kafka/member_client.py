"""Makes the client of a group member: for KIP-848 while the brokers have it, else for the classic protocol."""

from collections.abc import Callable, Mapping
from typing import Any

import confluent_kafka

from infra.kafka.clients import Keys, new_client
from infra.kafka.membership import GroupProtocol, Membership, classic_config, is_incremental, member_config, protocol_of
from infra.process import logs
from infra.settings import Settings

log = logs.get(__name__)


class MemberClients:
    """`callbacks`: by their key in the client's configuration. `tables` of the settings are named for wrong keys."""

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        membership: Membership | None,
        defaults: Keys,
        forced: Keys,
        callbacks: Mapping[str, Callable[..., None]],
        tables: str,
    ) -> None:
        keys = settings, group_id, membership, defaults, forced
        self._config, self._classic_config = member_config(*keys), classic_config(*keys)
        self._callbacks, self._tables = callbacks, tables
        self._made = 0

    @property
    def group_protocol(self) -> GroupProtocol:
        return protocol_of(self._config)

    @property
    def is_incremental(self) -> bool:
        """Whether a rebalance announces what changes, and not the whole share."""
        return is_incremental(self._config)

    def use_classic(self) -> None:
        """Clients that are made from now on speak the classic protocol."""
        self._config = self._classic_config
        log.warning(
            "the brokers do not have the group protocol of KIP-848: the classic one is used",
            hint='infer.group_protocol = "classic" asks for it',
        )

    def make(self) -> Any:
        """A client that takes the place of the one before, whose callbacks reach nobody from now on."""
        self._made = number = self._made + 1

        def of_this_client(tell: Callable[..., None]) -> Callable[..., None]:
            return lambda *told: tell(*told) if number == self._made else None

        callbacks = {key: of_this_client(tell) for key, tell in self._callbacks.items()}
        return new_client(confluent_kafka.Consumer, {**self._config, **callbacks}, self._tables)

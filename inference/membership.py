"""Whether the group knows this worker, asked of the broker.

The client itself does not tell: librdkafka (2.16) calls back for an empty share in the classic protocol only, and a
worker that stands by without a partition would never count as ready.
"""

from collections.abc import Callable
from typing import Any, Protocol

import confluent_kafka

from infra import logs

log = logs.get(__name__)

ANSWER_S = 2.0


class GroupAdmin(Protocol):
    """What is used of confluent_kafka.admin.AdminClient."""

    def describe_consumer_groups(self, group_ids: list[str], *, request_timeout: float) -> dict[str, Any]: ...


class Membership:
    """For the readiness probe's thread; it waits for the broker for `ANSWER_S` at most."""

    def __init__(self, admin: GroupAdmin, group_id: str, member_id: Callable[[], str | None]) -> None:
        self._admin, self._group_id, self._member_id = admin, group_id, member_id
        self._is_known = False

    def is_known(self) -> bool:
        """True from the first time on that the broker named this worker among the group's members."""
        self._is_known = self._is_known or self._ask()
        return self._is_known

    def _ask(self) -> bool:
        try:
            member_id = self._member_id()
            found = self._admin.describe_consumer_groups([self._group_id], request_timeout=ANSWER_S)
            return any(member.member_id == member_id for member in found[self._group_id].result(ANSWER_S).members)
        except (confluent_kafka.KafkaException, TimeoutError) as error:
            log.debug("the group's members are not to be had", error=str(error))
        except RuntimeError as error:  # the consumer was closed meanwhile
            log.debug("the group is left", error=str(error))
        return False

"""Going back to the committed offsets after an aborted transaction: the consumer does not do it by itself."""

from inference.device.staging import Staging
from inference.worker.group.work_in_flight import WorkInFlight
from infra.kafka.consumer import GroupConsumer
from infra.kafka.errors import KafkaFailure
from infra.process import logs
from schemas.errors import Stalled

log = logs.get(__name__)


class Rewind:
    """Called by the poll thread: everything that is not committed is read again, and its work in flight does not count.

    Raises Stalled when the client cannot go back.
    """

    def __init__(self, consumer: GroupConsumer, in_flight: WorkInFlight, staging: Staging) -> None:
        self._consumer, self._in_flight, self._staging = consumer, in_flight, staging

    def __call__(self) -> None:
        positions = self._in_flight.rewind()
        self._staging.drop(positions)
        try:
            self._consumer.seek(positions)
        except KafkaFailure as error:
            raise Stalled(f"the consumer cannot go back to the committed offsets: {error}") from error
        log.warning(
            "reading again what was not committed", positions={str(one): offset for one, offset in positions.items()}
        )

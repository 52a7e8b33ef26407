"""The networks that come with Sightline. A new one is a module like efficientnet_lite0.py, and one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.models import efficientnet_lite0
from inference.models.base import ModelInfo

if TYPE_CHECKING:
    from inference.models.network import Network


@dataclass(frozen=True, slots=True)
class NetworkLoader:
    """`describe` is cheap and imports no torch; `network` builds the network and imports it."""

    describe: Callable[[], ModelInfo]
    network: Callable[[], "Network"]


NETWORKS: dict[str, NetworkLoader] = {
    efficientnet_lite0.NAME: NetworkLoader(efficientnet_lite0.describe, efficientnet_lite0.network),
}

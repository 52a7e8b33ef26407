"""Use, memory and temperature of the GPUs of this machine, asked for when the metrics are read.

Without a device, its driver or `nvidia-ml-py` there are no such metrics.
"""

import importlib
from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.process import logs
from infra.process.metrics import GPU_MEMORY_TOTAL, GPU_MEMORY_USED, GPU_TEMPERATURE, GPU_UTILIZATION

log = logs.get(__name__)


def export_gpus(registry: CollectorRegistry = REGISTRY, library: str = "pynvml") -> bool:
    """Add them to the metrics of this process. False where there is none."""
    try:
        nvml = importlib.import_module(library)
        nvml.nvmlInit()
    except ImportError:
        log.debug("no metrics of GPUs: nvidia-ml-py is not installed")
        return False
    except nvml.NVMLError as error:  # no driver, or no device
        log.debug("no metrics of GPUs", error=str(error))
        return False
    registry.register(Gpus(nvml))
    return True


class Gpus(Collector):
    """`nvml` is the module `pynvml`, initialised. A figure that a device does not give is left out."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Without asking the devices: the registry wants the names."""
        return iter(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = _families()
        for number in range(self._count()):
            for name, value in self._figures(number):
                families[name].add_metric([str(number)], value)
        return (family for family in families.values() if family.samples)

    def _count(self) -> int:
        """0 where the driver does not answer any more: the other metrics of the process are read all the same."""
        try:
            return int(self._nvml.nvmlDeviceGetCount())
        except self._nvml.NVMLError as error:
            log.debug("the GPUs do not answer", error=str(error))
            return 0

    def _figures(self, number: int) -> Iterator[tuple[str, float]]:
        nvml = self._nvml
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError as error:
            log.debug("a GPU does not answer", gpu=number, error=str(error))
            return
        for read in (self._utilization, self._memory, self._temperature):
            try:
                yield from read(device)
            except nvml.NVMLError as error:  # as for the utilisation of a part of a device (MIG)
                log.debug("a GPU does not give a figure", gpu=number, error=str(error))

    def _utilization(self, device: Any) -> Iterator[tuple[str, float]]:
        yield GPU_UTILIZATION[0], self._nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100

    def _memory(self, device: Any) -> Iterator[tuple[str, float]]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(device)
        yield GPU_MEMORY_USED[0], memory.used
        yield GPU_MEMORY_TOTAL[0], memory.total

    def _temperature(self, device: Any) -> Iterator[tuple[str, float]]:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        yield GPU_TEMPERATURE[0], self._nvml.nvmlDeviceGetTemperature(device, sensor)


def _families() -> dict[str, GaugeMetricFamily]:
    figures = (GPU_UTILIZATION, GPU_MEMORY_USED, GPU_MEMORY_TOTAL, GPU_TEMPERATURE)
    return {name: GaugeMetricFamily(name, text, labels=["gpu"]) for name, text in figures}

"""Figures of GPUs, from a library that answers as NVML does."""

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from inference.device.gpu_metrics import Gpus, export_gpus


class NVMLError(Exception):
    pass


class Nvml:
    """Two devices: the second gives no utilisation, as a part of a device does (MIG)."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, devices: int = 2) -> None:
        self.devices = devices

    def nvmlDeviceGetCount(self) -> int:
        return self.devices

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:
        if device == 1:
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=37, memory=12)

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(used=1024 * (device + 1), total=4096, free=0)

    def nvmlDeviceGetTemperature(self, device: int, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return 61 + device


def figures(nvml: Nvml) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(Gpus(nvml))
    samples = [one for family in registry.collect() for one in family.samples]
    return {(one.name.removeprefix("sightline_gpu_"), one.labels["gpu"]): one.value for one in samples}


def test_each_figure_that_a_device_gives_is_there() -> None:
    assert figures(Nvml()) == {
        ("utilization_ratio", "0"): 0.37,
        ("memory_used_bytes", "0"): 1024,
        ("memory_total_bytes", "0"): 4096,
        ("temperature_celsius", "0"): 61,
        ("memory_used_bytes", "1"): 2048,
        ("memory_total_bytes", "1"): 4096,
        ("temperature_celsius", "1"): 62,
    }


def test_without_a_device_there_is_nothing() -> None:
    assert figures(Nvml(0)) == {}


def test_a_driver_that_is_gone_costs_the_figures_of_the_gpus_and_no_other_metric() -> None:
    class Gone(Nvml):
        def nvmlDeviceGetCount(self) -> int:
            raise NVMLError("GPU is lost")

    assert figures(Gone()) == {}


def test_without_the_library_or_the_driver_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    assert not export_gpus(registry, "no_such_library")

    def no_driver() -> None:
        raise NVMLError("driver not loaded")

    monkeypatch.setitem(__import__("sys").modules, "nvml_without_driver", SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=no_driver
    ))  # fmt: skip
    assert not export_gpus(registry, "nvml_without_driver")
    assert list(registry.collect()) == []

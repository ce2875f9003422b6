"""Is there an NVIDIA GPU, and can it be used? The driver itself is asked: no package is needed for it.

Every way it can fail is one line that says what to do.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError

MIN_CUDA = (12, 0)
"""Drivers below this run no runtime that this program knows how to use."""

_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", "0x03"
_MAJOR, _MINOR = 75, 76
"""CUdevice_attribute numbers of the compute capability."""
_PROBLEMS = {
    100: "the driver sees no GPU; check CUDA_VISIBLE_DEVICES, and in a container start it with --gpus all",
    101: "the driver sees no such GPU; check CUDA_VISIBLE_DEVICES",
    3: "the driver is not ready; restart the machine",
    802: "the GPU is not ready yet (fabric manager); start nvidia-fabricmanager",
    803: "the driver's parts are of different versions; restart the machine, or install the driver again",
    804: "this driver is too old for the CUDA libraries beside it; update the NVIDIA driver",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The first GPU that this process may use."""

    name: str
    compute_capability: tuple[int, int]
    memory: int
    """Bytes in all."""
    cuda: tuple[int, int]
    """The newest CUDA version that its driver runs."""


def find_gpu(driver: Any = None) -> Gpu:
    """Ask the driver.

    Args:
        driver: the driver's library, as ctypes opens it; None: this system's.
    Raises:
        EngineError: no driver, one that is too old, or no GPU; says what to do.
    """
    driver = _open_driver() if driver is None else driver
    _check(driver.cuInit(0))
    version = ctypes.c_int()
    _check(driver.cuDriverGetVersion(ctypes.byref(version)))
    cuda = (version.value // 1000, version.value % 1000 // 10)
    if cuda < MIN_CUDA:
        raise EngineError(
            f"the NVIDIA driver runs CUDA {_dotted(cuda)}, expected {_dotted(MIN_CUDA)} or newer; update the driver"
        )
    device, size = ctypes.c_int(), ctypes.c_size_t()
    _check(driver.cuDeviceGet(ctypes.byref(device), 0))
    name = ctypes.create_string_buffer(256)
    _check(driver.cuDeviceGetName(name, len(name), device))
    _check(driver.cuDeviceTotalMem_v2(ctypes.byref(size), device))
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _check(driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
        capability.append(value.value)
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=(capability[0], capability[1]),
        memory=size.value,
        cuda=cuda,
    )


def no_gpu() -> str | None:
    """None when a GPU can be used, else why not and what to do."""
    try:
        find_gpu()
    except EngineError as error:
        return str(error)
    return None


def idle_card(devices: Path = _PCI) -> str | None:
    """``NVIDIA GPU`` when one is plugged in, with or without a driver; None also where the system does not tell."""
    for device in sorted(devices.glob("*")):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith(_DISPLAY):
            return "NVIDIA GPU"
    return None


def _open_driver() -> Any:
    name = _DRIVERS.get(sys.platform)
    if name is None:
        raise EngineError(f"no NVIDIA GPU on {sys.platform}; use openvino or onnxruntime")
    try:
        return ctypes.CDLL(name)
    except OSError:
        raise EngineError(
            f"no NVIDIA driver ({name} is missing); if there is an NVIDIA GPU, install its driver, or start the "
            "container with --gpus all"
        ) from None


def _check(code: int) -> None:
    if code:
        raise EngineError(_PROBLEMS.get(code, f"the NVIDIA driver fails with error {code}; run nvidia-smi to see why"))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))

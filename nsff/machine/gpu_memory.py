"""GPU memory that this process may take: what is free on the device, or less where the settings cap it."""

from __future__ import annotations

from collections.abc import Callable

import torch

GIGABYTE = 1e9

_caps: dict[int, int] = {}
"""Bytes by device index."""
_highest: dict[int, int] = {}
"""Peaks in bytes by device index, from before the device's own counter was last set back."""


def cap_memory(device: torch.device, gigabytes: float | None) -> None:
    """From now on this process takes at most ``gigabytes`` (10^9 bytes) of ``device``; None: all there is.

    What the driver and NCCL keep for themselves, some hundred MB, comes on top. Nothing happens on the CPU.
    """
    if device.type != "cuda":
        return
    index, total = _index(device), _total(device)
    _caps[index] = total if gigabytes is None else min(total, int(gigabytes * GIGABYTE))
    torch.cuda.set_per_process_memory_fraction(_caps[index] / total, index)


def obtainable_memory(device: torch.device) -> int:
    """Bytes of a GPU that this process has or can have: its own, and what is free now, within the cap."""
    reserved = torch.cuda.memory_reserved(device)
    free, _ = torch.cuda.mem_get_info(device)
    return within_cap(free, reserved, _caps.get(_index(device), _total(device)))


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that this process can still take."""
    return max(0, obtainable_memory(device) - torch.cuda.memory_reserved(device))


def peak_memory(device: torch.device) -> int:
    """Most bytes of a GPU that this process had in use at a time since ``forget_peak``, or since it began."""
    return max(_highest.get(_index(device), 0), torch.cuda.max_memory_allocated(device))


def forget_peak(device: torch.device) -> None:
    """Peaks count from here on; nothing happens on the CPU."""
    if device.type == "cuda":
        _highest.pop(_index(device), None)
        torch.cuda.reset_peak_memory_stats(device)


def peak_of(device: torch.device, work: Callable[[], object]) -> int:
    """Most bytes of a GPU that this process has in use while ``work`` runs; ``peak_memory`` goes on counting."""
    _highest[_index(device)] = peak_memory(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device)


def within_cap(free: int, reserved: int, cap: int) -> int:
    """Bytes that a process can use on a device with ``free`` bytes when it holds ``reserved`` and may hold ``cap``."""
    return min(free + reserved, cap)


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def _total(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory)

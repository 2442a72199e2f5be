"""Devices by name."""

from collections.abc import Sequence

import torch


def gpus(device: str, count: int) -> list[int]:
    """Lists the indices of `count` GPUs: those that "cuda:2,5" names, or for "cuda" the first."""
    _, named, indices = device.partition(":")
    return [int(index) for index in indices.split(",")] if named else list(range(count))


def first_device(device: str) -> torch.device:
    """Where what one device does alone is done."""
    return torch.device(device.partition(",")[0])


def joined(devices: Sequence[str | None]) -> str | None:
    """Names several GPUs as one device: "cuda:0" and "cuda:1" are "cuda:0,1"."""
    kind, _, _ = (devices[0] or "").partition(":")
    return f"cuda:{','.join(str(device).partition(':')[2] for device in devices)}" if kind == "cuda" else devices[0]

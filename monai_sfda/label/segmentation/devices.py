"""Where a request may be computed."""

from __future__ import annotations

import torch

from monai_sfda.errors import SettingError


def offered_devices(own: str) -> list[str]:
    """The devices of this machine, the app's own first."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    found = (["cuda"] if len(found) == 1 else found) + ["cpu"]
    return [own, *(name for name in found if name != own)]


def chosen_device(asked: str | None, own: str) -> str:
    """The device that a request means.

    Clients ask for `cuda`, with a number or by the card's name, without knowing the machine: where there is
    none, or the name is not listed, the app's own device computes.

    Args:
        asked: by the client.
        own: of the app.

    Raises:
        SettingError: when the value is no device at all.
    """
    if asked is None:
        return own
    devices = offered_devices(own)
    if asked in devices:
        return asked
    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if asked.startswith(("cuda", "mps")) or any(asked.startswith(card) for card in cards):
        return own
    raise SettingError(f"device '{asked[:40]}' is unknown", remedy=f"use one of {', '.join(devices)}")

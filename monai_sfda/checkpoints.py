"""Weights on disk: bare state dicts, read without running code, loaded only where they fit exactly."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from monai_sfda.errors import CheckpointError

ANOTHER_NETWORK = "use the configuration of its training: stack small.json last exactly when training did"


def load_weights(path: Path) -> dict[str, Tensor]:
    """A bare state dict, loaded without running any code of the file.

    Raises:
        CheckpointError: when the file is missing, damaged or holds anything else.
    """
    remedy = "give a model.pt or adapted.pt that train.json or adapt.json wrote"
    if not path.is_file():
        raise CheckpointError("there is no checkpoint", path=path, remedy=remedy)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch raises many kinds on damaged files: UnpicklingError, EOFError, RuntimeError ...
        raise CheckpointError(
            f"the checkpoint cannot be read ({type(error).__name__})", path=path, remedy=remedy
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError("the file holds no bare state dict", path=path, remedy=remedy)
    return content


def load_into(network: torch.nn.Module, weights: dict[str, Tensor], path: Path | str | None = None) -> None:
    """Loads weights into a network that must have exactly those parameters.

    Raises:
        CheckpointError: when names or shapes differ; the message names `small.json`.
    """
    own = network.state_dict()
    missing, extra = own.keys() - weights.keys(), weights.keys() - own.keys()
    reshaped = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    if missing or extra or reshaped:
        raise CheckpointError(
            f"the checkpoint is of another network ({len(missing)} parameters missing, {len(extra)} unknown, "
            f"{len(reshaped)} of another shape)",
            path=path,
            remedy=ANOTHER_NETWORK,
        )
    network.load_state_dict(weights)

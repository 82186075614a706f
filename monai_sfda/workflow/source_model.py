"""The source model of prior matching on disk: all networks, for the adaptation, and the unadapted path."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_sfda.catalog import Task
from monai_sfda.checkpoints import ANOTHER_NETWORK, load_weights
from monai_sfda.errors import CheckpointError
from monai_sfda.files import file_sha256, tensor_file, write_atomically, write_json
from monai_sfda.networks import CrossDomainAutoencoder
from monai_sfda.release import package_versions

NETWORKS, UNADAPTED, RECORD = "networks.pt", "unadapted.pt", "source.json"


@dataclass(frozen=True)
class SourceModel:
    """A finished first stage. It stays where both data sets are: it is no release.

    Attributes:
        state_dict: of `CrossDomainAutoencoder`.
        sha256: of the file with all networks.
        unadapted_sha256: of the unadapted path's weights file, as an evaluation records it.
        fingerprint: of the run: settings, network and data.
    """

    state_dict: dict[str, Tensor] = field(repr=False)
    sha256: str
    unadapted_sha256: str
    fingerprint: str


def write_source_model(
    folder: Path,
    networks: CrossDomainAutoencoder,
    task: Task,
    network_def: dict[str, Any],
    settings: dict[str, Any],
    fingerprint: str,
) -> None:
    """Writes `networks.pt`, `unadapted.pt` and, when both are whole, `source.json`.

    Raises:
        OutputError: when the folder cannot be written.
    """
    everything, path = (
        tensor_file({name: t.detach().cpu() for name, t in module.state_dict().items()})
        for module in (networks, networks.source_path)
    )
    write_atomically(folder / NETWORKS, everything)
    write_atomically(folder / UNADAPTED, path)
    record = {
        "schema_version": 1,
        "kind": "monai_sfda source model of prior matching",
        "task": task.name,
        "labels": task.labels,
        "network_def": network_def,
        "settings": settings,
        "fingerprint": fingerprint,
        "networks_sha256": hashlib.sha256(everything).hexdigest(),
        "unadapted_sha256": hashlib.sha256(path).hexdigest(),
        "versions": package_versions(),
        "intended_use": "research; not for diagnosis",
    }
    write_json(folder / RECORD, record)


def read_source_model(
    folder: Path, task: Task, network_def: dict[str, Any], preprocessing: dict[str, Any]
) -> SourceModel:
    """Reads and verifies a first stage.

    Args:
        folder: that `write_source_model` wrote.
        task, network_def, preprocessing: of the run that adapts it; the source's preprocessing, as JSON.

    Raises:
        CheckpointError: when a file is missing or altered, or the model is of another task, network or
            sampling.
    """
    again = "give the folder that uda.json wrote with --stage source, or leave source_model out"
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        recorded = (record["task"], record["labels"], record["network_def"])
        sampling, sha256 = record["settings"]["preprocessing"], str(record["networks_sha256"])
        unadapted, fingerprint = str(record["unadapted_sha256"]), str(record["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError("no source model can be read", path=path, remedy=again) from error
    if recorded != (task.name, task.labels, network_def) or sampling != json.loads(json.dumps(preprocessing)):
        raise CheckpointError(
            "the source model is of another task, network or sampling", path=path, remedy=ANOTHER_NETWORK
        )
    weights = load_weights(folder / NETWORKS)
    if file_sha256(folder / NETWORKS) != sha256:
        raise CheckpointError(
            "the file was altered: its SHA-256 is not the recorded one",
            path=folder / NETWORKS,
            remedy="train the source model again",
        )
    return SourceModel(weights, sha256, unadapted, fingerprint)

"""The source release: what a source site hands over, and all that adaptation may open of the source.

A folder with `model.pt` (a bare state dict), `prototypes.safetensors` and `release.json` (task, labels,
network definition, preprocessing, class-ratio statistics, validation metrics, versions, the SHA-256 of every
file). No image, no
label, no value of a single subject.

Where it was asked for, `class_ratio.pt` beside them: the bare state dict of a network that guesses the class
ratio of a slice, built from four plain values of `release.json`. Like the segmentation network it is made by
training on at least `MINIMUM_SUBJECTS` subjects; it gives shares of classes, of no place. And
`atlas.safetensors`: a coarse mean label map of the source, where in the body each structure lies.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_sfda.atlas import Atlas
from monai_sfda.catalog import Task
from monai_sfda.checkpoints import ANOTHER_NETWORK, load_into, load_weights
from monai_sfda.disclosure import MINIMUM_SUBJECTS
from monai_sfda.errors import ReleaseError
from monai_sfda.files import file_sha256, tensor_file, whole_folder
from monai_sfda.networks import ClassRatioRegressor
from monai_sfda.prototypes import Prototypes
from monai_sfda.release_files import (
    ASK_AGAIN,
    ATLAS,
    CLASS_RATIO,
    MANIFEST,
    MODEL,
    PROTOTYPES,
    check_hashes,
    manifest_bytes,
)
from monai_sfda.transforms import Preprocessing

__all__ = [
    "CLASS_RATIO",
    "MANIFEST",
    "MINIMUM_SUBJECTS",
    "MODEL",
    "PROTOTYPES",
    "SCHEMA_VERSION",
    "ClassRatio",
    "Release",
    "package_versions",
]

SCHEMA_VERSION = 1


def package_versions() -> dict[str, str]:
    """Versions of what decides about a result, for manifests."""
    versions = {"python": platform.python_version()}
    for name in ("monai_sfda", "torch", "monai", "numpy", "nibabel", "pytorch-ignite"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@dataclass(frozen=True)
class ClassRatio:
    """Share of each class in a subject's pixels: mean and standard deviation over the source subjects, no
    single value.

    Attributes:
        mean, std: (K,) over subjects, of the shares in all their slices; 0 for a class of too few subjects.
        subjects: number of them.
        where_present: (K,) mean over subjects of the share in those of their slices that show the class; None
            for a class of too few subjects, and as a whole in releases that lack it.
        shown_by: (K,) number of subjects who show the class; None for too few of them (`enough_subjects`),
            whose pixels then count in no share, and as a whole in releases that lack it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    subjects: int
    where_present: tuple[float | None, ...] | None = None
    shown_by: tuple[int | None, ...] | None = None

    @staticmethod
    def from_json(data: dict[str, Any] | None) -> ClassRatio | None:
        """Reads `release.json`'s form; None where too few subjects were behind it."""
        if data is None:
            return None
        present, shown = data.get("where_present"), data.get("shown_by")
        return ClassRatio(
            tuple(data["mean"]),
            tuple(data["std"]),
            int(data["subjects"]),
            None if present is None else tuple(present),
            None if shown is None else tuple(shown),
        )


@dataclass(frozen=True)
class Release:
    """A verified release in memory.

    Attributes:
        task: name in the catalog.
        domain: which domain the weights were trained on; `source` for a release to adapt from.
        labels: class names to indices.
        network_def: the network's MONAI configuration.
        preprocessing: by domain, `source` and `target`.
        image_size: (H, W) of training slices.
        state_dict: weights.
        prototypes: class Gaussians.
        class_ratio: statistics over source subjects.
        class_ratio_regressor: the network that guesses a slice's class ratio; None for none.
        atlas: where in the body the structures lie; None in a release of an earlier version or of too few
            subjects.
        validation: summary of the source validation, or empty.
        training: settings of the run that made it, without paths.
        versions: of the packages that made it.
        modalities: by domain, what the data sets call them; empty in a release of an earlier version.
        reference_scans: what the scans that the model knows are like, as `guard.Reference` writes it; None in
            a release of an earlier version or of too few subjects.
        sha256: of the manifest, which holds those of all other files; identifies the release.
        model_sha256: of the weights file as it was read; empty for a release that was not read from a folder.
        signed_by: fingerprint of the key whose signature was required and found; None where none was asked
            for.
    """

    task: str
    domain: str
    labels: dict[str, int]
    network_def: dict[str, Any]
    preprocessing: dict[str, Preprocessing]
    image_size: tuple[int, int]
    state_dict: dict[str, Tensor] = field(repr=False)
    prototypes: Prototypes = field(repr=False)
    class_ratio: ClassRatio | None
    validation: dict[str, Any]
    training: dict[str, Any]
    versions: dict[str, str] = field(default_factory=package_versions)
    modalities: dict[str, str] = field(default_factory=dict)
    reference_scans: dict[str, Any] | None = field(default=None, repr=False)
    class_ratio_regressor: ClassRatioRegressor | None = field(default=None, repr=False)
    atlas: Atlas | None = field(default=None, repr=False)
    sha256: str = ""
    model_sha256: str = ""
    signed_by: str | None = None

    @property
    def without_prototype(self) -> list[str]:
        """Names of the structures, background included, that the release has no prototype for."""
        available = self.prototypes.available
        return [name for name, index in self.labels.items() if not bool(available[index])]

    def write(self, folder: Path) -> str:
        """Writes the release whole or not at all, in place of an older one; returns its hash.

        Raises:
            OutputError: when the folder cannot be written.
        """
        with whole_folder(folder) as beside:
            (beside / MODEL).write_bytes(_weights(self.state_dict))
            self.prototypes.save(beside / PROTOTYPES)
            files, regressor, atlas = [MODEL, PROTOTYPES], self.class_ratio_regressor, self.atlas
            if atlas is not None:
                atlas.save(beside / ATLAS)
                files.append(ATLAS)
            if regressor is not None:
                (beside / CLASS_RATIO).write_bytes(_weights(regressor.state_dict()))
                files.append(CLASS_RATIO)
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "kind": "monai_sfda source release",
                "task": self.task,
                "domain": self.domain,
                "modalities": self.modalities,
                "labels": self.labels,
                "network_def": self.network_def,
                "preprocessing": {name: p.to_json() for name, p in self.preprocessing.items()},
                "image_size": list(self.image_size),
                "class_ratio": None if self.class_ratio is None else asdict(self.class_ratio),
                "class_ratio_regressor": None if regressor is None else regressor.definition,
                "prototypes": {
                    "rho": self.prototypes.rho,
                    "pixels": [int(n) for n in self.prototypes.count],
                    "subjects": [int(n) for n in self.prototypes.subjects],
                    "warnings": list(self.prototypes.warnings),
                },
                "atlas": None if atlas is None else atlas.to_json(),
                "validation": self.validation,
                "reference_scans": self.reference_scans,
                "training": self.training,
                "versions": self.versions,
                "minimum_subjects": MINIMUM_SUBJECTS,
                "files": {name: file_sha256(beside / name) for name in files},
                "intended_use": "research; not for diagnosis",
            }
            text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
            (beside / MANIFEST).write_text(text, encoding="utf-8")
        return hashlib.sha256(text.encode()).hexdigest()

    @staticmethod
    def read(folder: Path, *, public_key: Path | None = None) -> Release:
        """Reads a release and verifies every hash.

        Args:
            folder: of the release.
            public_key: file of the source site's public key; its signature is then required, and that
                nothing else lies in the folder. None asks for none.

        Raises:
            ReleaseError: when a file is missing, altered or of an unknown schema.
            SignatureError: when it is not signed by the key.
            KeyFileError: when the key cannot be read.
        """
        signed_by = None
        text = manifest_bytes(folder)
        if public_key is not None:
            from monai_sfda.signing import fingerprint, read_public_key, require_signature

            key = read_public_key(public_key)
            require_signature(folder, text, key)
            signed_by = fingerprint(key)
        try:
            manifest = json.loads(text)
            if manifest["schema_version"] != SCHEMA_VERSION:
                raise ReleaseError(
                    f"release schema {manifest['schema_version']} is unknown, not {SCHEMA_VERSION}",
                    path=folder / MANIFEST,
                    remedy="install the version of monai_sfda that wrote it",
                )
            definition = manifest.get("class_ratio_regressor")
            files = {MODEL, PROTOTYPES} | (set() if definition is None else {CLASS_RATIO})
            has_atlas = manifest.get("atlas") is not None
            files |= {ATLAS} if has_atlas else set()
            if not files <= manifest["files"].keys():
                raise ReleaseError(
                    f"{MANIFEST} names not all files", path=folder / MANIFEST, remedy=ASK_AGAIN
                )
            check_hashes(folder, manifest["files"])
            return Release(
                task=manifest["task"],
                domain=manifest["domain"],
                labels={str(k): int(v) for k, v in manifest["labels"].items()},
                network_def=manifest["network_def"],
                preprocessing={k: Preprocessing.from_json(v) for k, v in manifest["preprocessing"].items()},
                image_size=(int(manifest["image_size"][0]), int(manifest["image_size"][1])),
                state_dict=load_weights(folder / MODEL),
                prototypes=Prototypes.load(folder / PROTOTYPES),
                class_ratio=ClassRatio.from_json(manifest["class_ratio"]),
                validation=manifest["validation"],
                training=manifest["training"],
                versions=manifest["versions"],
                modalities={str(k): str(v) for k, v in manifest.get("modalities", {}).items()},
                reference_scans=manifest.get("reference_scans"),
                class_ratio_regressor=None
                if definition is None
                else _read_regressor(definition, folder / CLASS_RATIO),
                atlas=Atlas.load(folder / ATLAS) if has_atlas else None,
                sha256=hashlib.sha256(text).hexdigest(),
                model_sha256=manifest["files"][MODEL],
                signed_by=signed_by,
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, UnicodeDecodeError) as error:
            raise ReleaseError(
                f"{MANIFEST} cannot be read ({type(error).__name__}: {error})", path=folder, remedy=ASK_AGAIN
            ) from error

    def require(self, task: Task, network_def: dict[str, Any], preprocessing: Preprocessing) -> None:
        """Checks that the release fits a configuration.

        Raises:
            ReleaseError: when it is of another task, other labels, another network or another sampling.
        """
        if self.task != task.name or self.labels != task.labels:
            raise ReleaseError(
                f"the release is of task '{self.task}', the bundle of '{task.name}'",
                path=MANIFEST,
                remedy="give the release of this bundle's task",
            )
        if self.domain != "source":
            raise ReleaseError(
                f"the release was trained on the {self.domain} domain's labels",
                path=MANIFEST,
                remedy="give the release of train.json with --domain source",
            )
        if self.modalities.get("source", task.source.modality) != task.source.modality:
            raise ReleaseError(
                f"the release was trained on {self.modalities['source']}, source_modality is "
                f"{task.source.modality}",
                path=MANIFEST,
                remedy="give the release's own source_modality",
            )
        if self.network_def != network_def:
            raise ReleaseError("the release is of another network", path=MANIFEST, remedy=ANOTHER_NETWORK)
        trained, asked = self.preprocessing["target"].to_json(), preprocessing.to_json()
        for name in ("pixel_size_mm", "slice_axis", "stack_slices", "intensity"):
            if trained[name] != asked[name]:
                raise ReleaseError(
                    f"the release's {name} is {trained[name]}, the configuration's {asked[name]}",
                    path=MANIFEST,
                    remedy=ANOTHER_NETWORK,
                )


def _weights(state_dict: Mapping[str, Tensor]) -> bytes:
    return tensor_file({name: t.detach().cpu() for name, t in state_dict.items()})


def _read_regressor(definition: Mapping[str, Any], path: Path) -> ClassRatioRegressor:
    """The network of `class_ratio.pt` in evaluation mode, without gradients."""
    network = ClassRatioRegressor.from_definition(definition)
    load_into(network, load_weights(path), path.name)
    return network.eval().requires_grad_(False)

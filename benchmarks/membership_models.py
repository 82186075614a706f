"""A population of phantom subjects, small source models of random halves of it, and what they say of each
subject.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.networks.nets import UNet
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.membership_attacks import ClassMoments, Floats, class_moments
from monai_sfda.atlas import AtlasFit
from monai_sfda.body_coordinates import BodyCoordinates
from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.reading import read_case
from monai_sfda.data.scan import Scan
from monai_sfda.data.stacks import StackDataset
from monai_sfda.disclosure import MINIMUM_SUBJECTS
from monai_sfda.engines import SliceStackInferer, SupervisedTrainer
from monai_sfda.engines.reference_scans import profile_scan
from monai_sfda.engines.source_statistics import volume_coordinates
from monai_sfda.files import write_json
from monai_sfda.guard import ScanProfile
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.phantom.anatomy import make_abdomen
from monai_sfda.phantom.jobs import SubjectSeeds
from monai_sfda.phantom.manifest import NOTICE
from monai_sfda.phantom.mr import draw_mr_scanner, image_mr
from monai_sfda.phantom.sampling import mr_grid
from monai_sfda.phantom.tissues import Organ
from monai_sfda.prototype_fit import PrototypeFit

PIXELS, PIXEL_MM = 64, 6.4
_ORGANS = {"liver": Organ.LIVER, "right_kidney": Organ.RIGHT_KIDNEY}
_ORGANS |= {"left_kidney": Organ.LEFT_KIDNEY, "spleen": Organ.SPLEEN}
# Of small.json, on a quarter of its pixels.
TRAINING = {"learning_rate": 2e-3, "adam_eps": 1e-8, "decay": 0.0, "schedule": "cosine"}
TRAINING |= {"loss": "dice_cross_entropy", "rare_share": 0.5}
AUGMENTATION = {"rotation_degrees": 10.0, "zoom": 0.1, "shift": 0.05, "gamma": 0.6, "noise": 0.3}
CLASSES, EMBEDDING = 5, 16


def write_population(folder: Path, subjects: int, seed: int) -> list[dict[str, str]]:
    """MR phantoms of the abdomen with labels, as NIfTI files; those that are there are kept.

    Returns:
        Their items of a datalist.
    """
    items = []
    for number in range(subjects):
        name = f"s{number:03d}"
        image, label = folder / f"{name}_image.nii.gz", folder / f"{name}_label.nii.gz"
        if not label.is_file():
            seeds = SubjectSeeds.of(seed, "membership", name)
            grid = mr_grid(seeds.grid, PIXELS)
            scan = image_mr(make_abdomen(seeds.anatomy), grid, draw_mr_scanner(seeds.scanner), seeds.imaging)
            mask = np.zeros(scan.labels.shape, np.uint8)
            for organ, index in ABDOMEN.labels.items():
                if organ in _ORGANS:
                    mask[scan.labels == _ORGANS[organ]] = index
            folder.mkdir(parents=True, exist_ok=True)
            _write(image, scan.array.astype(np.float32), grid.affine)
            _write(label, mask, grid.affine)
        items.append({"image": image.name, "label": label.name, "subject": name})
    return items


def _write(path: Path, array: NDArray[np.float32] | NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    picture = nib.Nifti1Image(array, affine)
    picture.header["descrip"] = NOTICE.encode()
    beside = path.with_name(f"unfinished_{path.name}")
    nib.save(picture, beside)
    beside.replace(path)


def stacks(folder: Path, items: Sequence[dict[str, str]], name: str) -> StackDataset:
    """The labelled slices of some subjects."""
    datalist = folder / f"{name}.json"
    write_json(datalist, {"labels": ABDOMEN.labels, "source_train": list(items)})
    return StackDataset(
        "abdomen",
        "source",
        "train",
        folder,
        datalist=datalist,
        image_size=PIXELS,
        pixel_size_mm=PIXEL_MM,
        threads=1,
    )


def train(dataset: StackDataset, out: Path, *, iterations: int, seed: int) -> SegmentationNetwork:
    """A small source model, trained as `train.json` with `small.json` does."""
    torch.manual_seed(seed)
    unet = UNet(
        2, in_channels=3, out_channels=EMBEDDING, channels=(16, 32, 64, 128), strides=(2, 2, 2), norm="batch"
    )
    network = SegmentationNetwork(unet, embedding_channels=EMBEDDING, num_classes=CLASSES)
    trainer = SupervisedTrainer(
        network,
        dataset,
        settings=TRAINING,
        device="cpu",
        max_epochs=1,
        epoch_length=iterations,
        batch_size=8,
        seed=seed,
        output_dir=out,
        augmentation=AUGMENTATION,
    )
    trainer.run()
    trainer.finish()
    return network.eval()


@dataclass(frozen=True)
class Subject:
    """What a network says of one subject, and what its labels are.

    Attributes:
        fit: its part of the prototypes.
        moments: of the embeddings of its labelled pixels, by class.
        profile: what its scan is like to the network.
        ratios: share of each structure in all its slices, and in those that show it.
        loss: mean cross-entropy of its labelled pixels.
        dice: mean over the structures, of all slices together.
    """

    fit: PrototypeFit
    moments: dict[int, ClassMoments]
    profile: ScanProfile
    ratios: Floats
    loss: float
    dice: float


class Population:
    """The scans and slices of all subjects, read once."""

    def __init__(self, folder: Path, items: Sequence[dict[str, str]]) -> None:
        self.folder, self.items = folder, list(items)
        self._dataset = stacks(folder, items, "everybody")
        self._scans = [
            read_case(case, self._dataset.task, "source", with_label=False)[0]
            for case in self._dataset.list().cases
        ]

    def atlas_of(self, subjects: Sequence[int]) -> torch.Tensor:
        """(K, X, Y, N) the atlas of some subjects; of one alone, who is then counted three times."""
        structures = range(1, CLASSES)
        fit = AtlasFit(CLASSES, structures, structures)
        for number in subjects if len(subjects) > 1 else list(subjects) * MINIMUM_SUBJECTS:
            fit.add_subject([self._places[number]])
        atlas = fit.finish(list(ABDOMEN.labels))
        assert atlas is not None  # at least three subjects
        return atlas.probabilities

    @cached_property
    def _places(self) -> list[tuple[torch.Tensor, BodyCoordinates]]:
        """Labels without the padding, and where they lie in the body."""
        found = []
        for volume in self._dataset.volumes:
            assert volume.label is not None  # read with labels
            label = volume.label[(slice(None), 0, *volume.field_of_view)]
            found.append((label, volume_coordinates(volume, self._dataset.preprocessing.stack_slices)))
        return found

    def __len__(self) -> int:
        return len(self.items)

    def seen_by(self, network: SegmentationNetwork) -> list[Subject]:
        """Every subject as a network sees it."""
        first, found = 0, []
        for volume, scan in zip(self._dataset.volumes, self._scans, strict=True):
            found.append(self._see(network, range(first, first + volume.num_slices), scan))
            first += volume.num_slices
        return found

    def _see(self, network: SegmentationNetwork, places: range, scan: Scan) -> Subject:
        items = [self._dataset[place] for place in places]
        label = torch.stack([item["label"] for item in items])[:, 0].long()
        with torch.inference_mode():
            z = network.features(torch.stack([item["image"] for item in items]))
            logits = network.classify(z)
        loss = float(functional.cross_entropy(logits, label))
        points, labels = z.movedim(1, -1).flatten(0, -2), label.flatten()
        fit = PrototypeFit(CLASSES, EMBEDDING)
        fit.update(points, logits.softmax(1).movedim(1, -1).flatten(0, -2), labels, str(places.start))
        preprocessing = self._dataset.preprocessing
        inferer = SliceStackInferer(preprocessing.stack_slices, 32, minimum_size=(PIXELS, PIXELS))
        profile = profile_scan(scan, network, preprocessing, inferer, torch.device("cpu"))
        return Subject(
            fit,
            class_moments(points, labels),
            profile,
            _ratios(label),
            loss,
            _dice(logits.argmax(1), label),
        )


def _ratios(label: torch.Tensor) -> Floats:
    """(2 (K - 1),) the structures' mean share over slices (S, H, W), and over the slices that show them."""
    shares = functional.one_hot(label, CLASSES).double().mean((1, 2))[:, 1:]
    shown = (shares > 0).sum(0).clamp_min(1)
    values: Floats = torch.cat([shares.mean(0), shares.sum(0) / shown]).numpy()
    return values


def _dice(predicted: torch.Tensor, label: torch.Tensor) -> float:
    values = []
    for k in range(1, CLASSES):
        a, b = predicted == k, label == k
        values.append(2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0))
    return float(np.mean(values))


def halves(subjects: int, models: int, seed: int) -> NDArray[np.bool_]:
    """(models, subjects) whether a subject is in a model's training set: random halves and their complements,
    so that every subject is in half of the models.
    """
    rng = np.random.default_rng([seed, subjects])
    member = np.zeros((models, subjects), dtype=np.bool_)
    for model in range(0, models, 2):
        chosen = rng.permutation(subjects)[: subjects // 2]
        member[model, chosen] = True
        member[model + 1 :][:1] = ~member[model]
    return member


def read_scores(path: Path) -> dict[str, Any]:
    """What a step has left."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content

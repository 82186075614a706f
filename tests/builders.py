"""Small networks, releases and data sets that tests build for themselves."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import UNet

from monai_sfda.catalog import ABDOMEN
from monai_sfda.networks import LatentSegmentation, SegmentationNetwork
from monai_sfda.prototypes import Prototypes
from monai_sfda.release import ClassRatio, Release
from monai_sfda.transforms import preprocessing_for

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
BUNDLES = REPOSITORY / "bundles"


def real(name: str) -> Path:
    """A folder of real scans; skips the test, with the reason, where it is absent."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real scans of {name} are not there (../shared/data)")
    return folder


def small_network(classes: int = 5, embedding: int = 4, seed: int = 0) -> SegmentationNetwork:
    """A U-Net with batch norm that runs in milliseconds."""
    torch.manual_seed(seed)
    unet = UNet(2, in_channels=3, out_channels=embedding, channels=(4, 8), strides=(2,), norm="batch")
    return SegmentationNetwork(unet, embedding_channels=embedding, num_classes=classes)


def latent_network(classes: int = 5, embedding: int = 4, seed: int = 0) -> SegmentationNetwork:
    """The path of prior matching from image to segmentation, as narrow as can be."""
    torch.manual_seed(seed)
    path = LatentSegmentation(
        3,
        embedding,
        width=2,
        blocks=1,
        segmenter_width=2,
        segmenter_most_channels=4,
        segmenter_strides=(1, 1, 1),
    )
    return SegmentationNetwork(path, embedding_channels=embedding, num_classes=classes)


def prototypes(classes: int = 5, dimension: int = 4, seed: int = 0) -> Prototypes:
    """Well separated Gaussians."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(classes, dimension, dimension, generator=generator, dtype=torch.float64) * 0.3
    weight = torch.tensor([0.8] + [0.2 / (classes - 1)] * (classes - 1), dtype=torch.float64)
    return Prototypes(
        weight=weight,
        mean=torch.randn(classes, dimension, generator=generator, dtype=torch.float64) * 3,
        covariance=root @ root.mT + 0.01 * torch.eye(dimension),
        count=torch.full((classes,), 1000.0, dtype=torch.float64),
        threshold=torch.full((classes,), 0.97, dtype=torch.float64),
        pixel_share=weight.clone(),
        subjects=torch.full((classes,), 3),
        rho=0.97,
    )


def release(network: SegmentationNetwork, **changes) -> Release:
    """A release of the abdomen task round a network."""
    fields = {
        "task": "abdomen",
        "domain": "source",
        "labels": ABDOMEN.labels,
        "network_def": {"name": "small"},
        "preprocessing": {
            name: preprocessing_for(ABDOMEN, ABDOMEN.domain(name), pixel_size_mm=3.2)
            for name in ("source", "target")
        },
        "image_size": (32, 32),
        "state_dict": network.state_dict(),
        "prototypes": prototypes(network.num_classes, network.embedding_channels),
        "class_ratio": ClassRatio((0.8, 0.05, 0.05, 0.05, 0.05), (0.01,) * 5, 3, (0.8, 0.1, 0.1, 0.1, 0.1)),
        "validation": {},
        "training": {"seed": 0},
    }
    return Release(**(fields | changes))


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """A NIfTI file; 2 x 2 x 5 mm RAS where no affine is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 5.0, 1.0]) if affine is None else affine), path)
    return path


def toy_abdomen(folder: Path, subjects: int = 3, seed: int = 0, shape=(40, 40, 6)) -> Path:
    """A datalist of noisy blocks, four organs each, for source and target; returns the JSON's path."""
    rng = np.random.default_rng(seed)
    lists: dict[str, list] = {}
    for domain, contrast in (("source", (10, 40, 80, 120, 160)), ("target", (0, 120, 60, 60, 200))):
        for i in range(subjects + 1):
            label = np.zeros(shape, np.uint8)
            dx, dy = rng.integers(-2, 3, 2)
            for k, (x, y) in enumerate(((5, 5), (5, 22), (22, 5), (22, 22)), start=1):
                label[x + dx : x + dx + 12, y + dy : y + dy + 12, 1:-1] = k
            image = np.asarray(contrast, np.float32)[label] + rng.normal(0, 6, shape).astype(np.float32)
            name = f"{domain}/s{i}"
            write_nifti(folder / f"{name}_image.nii.gz", image.astype(np.float32))
            write_nifti(folder / f"{name}_label.nii.gz", label)
            split = "test" if i == subjects else "train"
            item = {
                "image": f"{name}_image.nii.gz",
                "label": f"{name}_label.nii.gz",
                "subject": f"{domain}{i}",
            }
            lists.setdefault(f"{domain}_{split}", []).append(item)
    path = folder / "datalist.json"
    path.write_text(json.dumps({"labels": ABDOMEN.labels, **lists}), encoding="utf-8")
    return path

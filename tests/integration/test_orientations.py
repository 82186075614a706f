"""One subject stored in eight ways, and as a DICOM series, gives one mask and one entropy map in the room."""

from __future__ import annotations

import json
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch.nn import functional

from monai_sfda.catalog import (
    ABDOMEN,
    BRAIN_GRADE,
    BRAIN_MODALITY,
    CARDIAC,
    SOFT_TISSUE,
    SPINE,
    TASKS,
    find_task,
)
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.phantom import write_phantoms
from monai_sfda.transforms import all_stacks, clamp_edges, pad_plane, preprocessing_for
from tests.builders import BUNDLES
from tests.data_readers import build
from tests.integration.commands import run_in_process

STORED = ("RAS", "LPS", "LAS", "PIR", "ASR", "SPL", "IRP")
# The eighth lies turned in the room; the mask must turn with it.
TURN = build.affine(origin=(11.0, -20.0, 35.0), angles=(12, -9, 20))


@dataclass(frozen=True)
class Setup:
    """How a bundle's small job is made smaller still.

    Attributes:
        task: name in the catalog.
        phantoms: whose subject is taken, of which domain; `soft_tissue` has none of its own.
        subjects, matrix: of the phantoms; so many that one is the domain's to train with.
        image_size, pixel_size_mm: of the slices.
    """

    task: str
    phantoms: tuple[str, str]
    subjects: int
    matrix: int
    image_size: int | tuple[int, int]
    pixel_size_mm: float


SETUPS = [
    Setup(ABDOMEN.name, (ABDOMEN.name, "target"), 2, 64, 64, 6.4),
    Setup(CARDIAC.name, (CARDIAC.name, "target"), 2, 48, 48, 5.0),
    Setup(BRAIN_MODALITY.name, (BRAIN_MODALITY.name, "target"), 2, 40, 48, 5.0),
    Setup(BRAIN_GRADE.name, (BRAIN_GRADE.name, "target"), 2, 40, 48, 5.0),
    Setup(SPINE.name, (SPINE.name, "target"), 2, 96, (48, 96), 3.0),
    Setup(SOFT_TISSUE.name, (ABDOMEN.name, "source"), 2, 64, 64, 6.4),
]


@pytest.fixture(
    params=[
        pytest.param(s, id=s.task, marks=() if s.task == ABDOMEN.name else pytest.mark.long) for s in SETUPS
    ]
)
def setup(request):
    return request.param


def subject_of(setup, folder):
    """A phantom's values (C, X, Y, Z), whole numbers as DICOM has them, its affine and its classes."""
    phantoms, domain = find_task(setup.phantoms[0]), setup.phantoms[1]
    write_phantoms(phantoms.phantom_name, folder, setup.subjects, 100, matrix=setup.matrix, workers=1)
    case = list_cases(phantoms, domain, "train", folder).cases[0]
    scan, label = read_case(case, phantoms, domain, with_label=True)
    classes = find_task(setup.task).labels
    label = np.where(label < len(classes), label, 0).astype(np.uint8)
    return np.rint(scan.array).astype(np.int16), scan.affine, label


def weights_for(setup, values, affine, label, network):
    """The bundle's small network after a few steps on the subject itself: enough to find its structures."""
    task = find_task(setup.task)
    preprocessing = preprocessing_for(task, task.target, pixel_size_mm=setup.pixel_size_mm, **stacks_of(task))
    slices, grid = preprocessing.image(values.astype(np.float32), affine)
    classes = preprocessing.label(label, grid)
    side = setup.image_size if isinstance(setup.image_size, tuple) else (setup.image_size,) * 2
    size = tuple(16 * -(-max(have, least) // 16) for have, least in zip(slices.shape[-2:], side, strict=True))
    slices, _ = pad_plane(slices, size, float(slices.min()))
    classes, _ = pad_plane(classes, size, 0)
    stacks = all_stacks(clamp_edges(slices, preprocessing.stack_slices), preprocessing.stack_slices)
    targets = classes[:, 0].long()
    share = torch.bincount(targets.ravel(), minlength=len(task.labels)).clamp(min=1).float()
    shown = torch.nonzero((targets > 0).flatten(1).any(1))[:, 0]
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        batch = shown[torch.randint(len(shown), (6,), generator=generator)]
        loss = functional.cross_entropy(network(stacks[batch]), targets[batch], weight=share.rsqrt())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.state_dict()


def small_of(task):
    text = (BUNDLES / task.bundle / "configs" / "small.json").read_text(encoding="utf-8")
    return json.loads(text)


def stacks_of(task):
    stacks = small_of(task).get("stack_slices")
    return {} if stacks is None else {"stack_slices": stacks}


def write_scan(folder, name, values, affine, task):
    """A scan as NIfTI, each channel a file of its own where there are several."""
    for channel, array in zip(task.target.channels or ("",), values, strict=True):
        build.write_nifti(folder / f"{name}{channel and '_'}{channel}.nii.gz", array, affine)


def in_the_room(path, affine, shape, turn):
    """A mask's classes at the places of a grid's voxels, after the grid was turned; nothing lies outside."""
    mask = nib.load(path)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    index = nib.affines.apply_affine(np.linalg.inv(mask.affine) @ turn @ affine, voxels)
    assert np.abs(index - np.rint(index)).max() < 0.02
    return np.asarray(mask.dataobj)[tuple(np.moveaxis(np.rint(index).astype(int), -1, 0))]


def dice(one, other, index):
    return 2 * np.sum((one == index) & (other == index)) / (np.sum(one == index) + np.sum(other == index))


def test_one_subject_in_eight_orientations_and_as_dicom(setup, tmp_path):
    task = find_task(setup.task)
    torch.manual_seed(0)
    network = ConfigParser(small_of(task)).get_parsed_content("network_def")
    values, affine, label = subject_of(setup, tmp_path / "phantoms")
    torch.save(weights_for(setup, values, affine, label, network), tmp_path / "model.pt")
    scans, turns = tmp_path / "scans", {}
    for codes in STORED:
        turned = [build.in_orientation(channel, affine, codes) for channel in values]
        write_scan(scans, codes, [array for array, _ in turned], turned[0][1], task)
        turns[codes] = np.eye(4)
    write_scan(scans, "oblique", values, TURN @ affine, task)
    turns["oblique"] = TURN
    if not task.target.channels:
        build.write_dicom(scans / "dicom", values[0], affine, Modality=task.target.kind)
        turns["dicom"] = np.eye(4)
    run_in_process(
        BUNDLES / task.bundle,
        ("inference", "small"),
        dataset_dir=scans,
        output_dir=tmp_path / "masks",
        checkpoint=tmp_path / "model.pt",
        device="cpu",
        image_size=list(setup.image_size) if isinstance(setup.image_size, tuple) else setup.image_size,
        pixel_size_mm=setup.pixel_size_mm,
        uncertainty=True,
    )
    masks, maps = {}, {}
    for name, turn in turns.items():
        path = tmp_path / "masks" / f"{mask_name(name, task)}_seg.nii.gz"
        masks[name] = in_the_room(path, affine, values.shape[1:], turn)
        entropy = path.with_name(path.name.replace("_seg.", "_entropy."))
        maps[name] = in_the_room(entropy, affine, values.shape[1:], turn)
        stored = scans / f"{mask_name(name, task)}.nii.gz"
        if stored.is_file():
            scan, mask = nib.load(stored), nib.load(path)
            assert mask.shape == scan.shape
            np.testing.assert_array_equal(mask.affine, scan.affine)
    structures = [s.index for s in task.structures if np.any(label == s.index)]
    found = [index for index in structures if np.any(masks["RAS"] == index)]
    assert found
    assert np.mean([dice(masks["RAS"], label, index) for index in found]) > 0.3
    for axis in range(3):  # a mask that lies the wrong way round would be seen
        assert min(dice(masks["RAS"], np.flip(masks["RAS"], axis), index) for index in found) < 0.9
    names = sorted(masks)
    for one in names:
        for other in names[names.index(one) + 1 :]:
            for index in found:
                assert dice(masks[one], masks[other], index) > 0.99, (one, other, index)
        assert np.abs(maps[one] - maps["RAS"]).mean() < 0.01 * maps["RAS"].mean()
    for axis in range(3):  # a map that lies the wrong way round would be seen, too
        assert np.abs(np.flip(maps["RAS"], axis) - maps["RAS"]).mean() > 0.1 * maps["RAS"].mean()


def mask_name(name, task):
    """What inference calls the mask: after the scan's first channel where it has several."""
    return f"{name}_{task.target.channels[0]}" if task.target.channels else name


def test_tasks_left_out_have_no_place_in_a_room():
    """Street scenes are pictures: a pixel has no position, and a file has one orientation alone."""
    bundles = {find_task(s.task).bundle for s in SETUPS}
    assert {task.bundle for task in TASKS.values() if not task.pictures} == bundles

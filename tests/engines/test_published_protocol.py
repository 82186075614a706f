"""Scores as a paper takes them: on volumes whose prediction is known voxel for voxel."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from monai_sfda.catalog import (
    CARDIAC,
    Choice,
    Intensity,
    LabelBox,
    LabelCentre,
    PublishedProtocol,
    find_task,
)
from monai_sfda.data.scan import Scan
from monai_sfda.engines import SliceStackInferer
from monai_sfda.engines.published_protocol import check_protocol, score_as_published, scored_volume
from monai_sfda.engines.volumes import Segmenter
from monai_sfda.errors import DataError, SettingError
from monai_sfda.evaluation.metrics import score_case
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.transforms import Preprocessing
from tests.transforms.test_geometry import affine_of

AS_STORED = Intensity(fixed=(0.0, 1.0), clip=None)
PLAIN = PublishedProtocol("paper", "nobody", (Choice("all", "nothing", "a test"),))
TASK = find_task("abdomen")


class Reads(SegmentationNetwork):
    """A network whose class is what stands in the image: image k gives class k. It keeps what it has seen."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__(torch.nn.Identity(), embedding_channels=1, num_classes=classes)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x.clone())
        levels = torch.arange(self.num_classes, dtype=x.dtype)[:, None, None]
        return -50 * (x[:, x.shape[1] // 2, None] - levels).square()


def segmenter(slice_axis: int = 2, pixel: float | None = None, intensity: Intensity = AS_STORED) -> Segmenter:
    inferer = SliceStackInferer(3, batch_size=4, divisor=1)
    preprocessing = Preprocessing(slice_axis, pixel, 3, intensity)
    return Segmenter(Reads(), preprocessing, inferer, torch.device("cpu"), False, TASK.labels)


@pytest.fixture
def volumes() -> tuple[np.ndarray, np.ndarray]:
    """Prediction and label, (40, 32, 9), of four blocks each, with specks of every organ far from them."""
    rng = np.random.default_rng(0)
    label = np.zeros((40, 32, 9), np.uint8)
    for k, (x, y) in enumerate(((12, 9), (12, 16), (20, 9), (20, 16)), start=1):
        label[x : x + 7, y : y + 6, 2:7] = k
    prediction = np.roll(label, (1, 1), (0, 1))
    specks = rng.random(label.shape) < 0.02
    prediction[specks] = rng.integers(1, 5, int(specks.sum()))
    return prediction, label


def case(prediction: np.ndarray, codes: str = "RAS", spacing=(1.5, 0.8, 4.0)) -> Scan:
    return Scan(prediction[None].astype(np.float32), affine_of(codes, spacing))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIL"])
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("crop", [None, LabelBox(1000, 256), LabelCentre(1000.0)])
def test_it_is_the_whole_volume_where_nothing_is_cropped(volumes, codes, slice_axis, crop):
    prediction, label = volumes
    scan = case(prediction, codes)
    found = score_as_published(replace(PLAIN, crop=crop), segmenter(slice_axis), scan, label, TASK, 1).scores
    own = score_case(1, segmenter(slice_axis)(scan), label, scan.spacing_mm, TASK.labels)
    for one, other in zip(found, own, strict=True):
        for name, value in asdict(other).items():
            assert getattr(one, name) == (pytest.approx(value) if isinstance(value, float) else value), name


def test_what_lies_outside_the_box_and_beside_the_labelled_slices_is_not_scored(volumes):
    prediction, label = volumes
    protocol = replace(PLAIN, crop=LabelBox(2, 40), labelled_slices=True)
    found = score_as_published(protocol, segmenter(), case(prediction), label, TASK, 1).scores
    # 2 of 40 are 2 rows and 1.6 columns, which is moved outwards; slices 2 to 6 show organs
    box = (slice(10, 29), slice(7, 24), slice(2, 7))
    by_hand = score_case(1, prediction[box], label[box], (1.5, 0.8, 4.0), TASK.labels)
    assert [(s.dice, s.predicted_voxels, s.hd_mm) for s in found] == [
        (pytest.approx(s.dice), s.predicted_voxels, pytest.approx(s.hd_mm)) for s in by_hand
    ]
    whole = score_case(1, prediction, label, (1.5, 0.8, 4.0), TASK.labels)
    assert all(here.dice > there.dice for here, there in zip(found, whole, strict=True))


def test_the_network_sees_the_crop_alone(volumes):
    prediction, label = volumes
    used = segmenter()
    protocol = replace(PLAIN, crop=LabelBox(2, 40), labelled_slices=True)
    scored_volume(protocol, used, case(prediction), label, TASK)
    assert {tuple(x.shape[2:]) for x in used.network.seen} == {(19, 17)}
    assert sum(len(x) for x in used.network.seen) == 9  # of all slices: the neighbours are channels


@pytest.mark.parametrize("before", [True, False])
def test_intensities_are_of_the_crop_or_of_the_scan(volumes, before):
    prediction, label = volumes
    used = segmenter(intensity=Intensity(clip=None))
    protocol = replace(PLAIN, crop=LabelBox(2, 40), crop_before_intensities=before)
    scored_volume(protocol, used, case(prediction), label, TASK)
    seen = torch.cat(used.network.seen)[:, 1]
    cropped = prediction[10:29, 7:24].astype(np.float64)
    of = cropped if before else prediction
    assert float(seen.mean()) == pytest.approx((cropped.mean() - of.mean()) / of.std(), abs=1e-5)
    assert float(seen.std(correction=0)) == pytest.approx(cropped.std() / of.std(), rel=1e-5)


def test_the_largest_component_is_three_dimensional(volumes):
    prediction, label = volumes
    kept = scored_volume(
        replace(PLAIN, largest_component=True), segmenter(), case(prediction), label, TASK
    ).prediction
    all_of_it = scored_volume(PLAIN, segmenter(), case(prediction), label, TASK).prediction
    assert 0 < np.count_nonzero(kept) < np.count_nonzero(all_of_it)
    assert np.isin(kept[all_of_it == 0], 0).all()


def test_it_is_scored_at_the_size_asked_for(volumes):
    prediction, label = volumes
    volume = scored_volume(replace(PLAIN, size=(80, 16)), segmenter(), case(prediction), label, TASK)
    assert volume.reference.shape == volume.prediction.shape == (9, 80, 16)
    assert volume.spacing_mm == pytest.approx((4.0, 0.75, 1.6))
    volume = scored_volume(replace(PLAIN, pixel_mm=0.5), segmenter(), case(prediction), label, TASK)
    assert volume.reference.shape == (9, 120, 51)
    assert volume.spacing_mm == pytest.approx((4.0, 0.5, 25.6 / 51))


def test_a_coarser_network_is_scored_on_the_same_grid(volumes):
    """The scored grid belongs to the protocol, not to the size of the network's pixels."""
    prediction, label = volumes
    shapes, references = set(), []
    for pixel in (None, 2.0):
        protocol = replace(PLAIN, crop=LabelBox(2, 40), size=(38, 34))
        volume = scored_volume(protocol, segmenter(pixel=pixel), case(prediction), label, TASK)
        shapes.add(volume.prediction.shape)
        references.append(np.bincount(volume.reference.ravel(), minlength=5)[1:])
    assert shapes == {(9, 38, 34)}
    np.testing.assert_allclose(references[0], references[1], rtol=0.3)  # the crop is moved to larger pixels


def test_distances_are_counted_in_the_voxels_of_the_protocol(volumes):
    _, label = volumes
    moved = np.roll(label, 2, 2)  # two slices on: 8 mm
    distances = ("assd_voxel", "hd_slice_pixel", "hd_row_pixel")
    steps, in_mm = (
        score_as_published(
            replace(PLAIN, distances=distances, voxel_mm=unit), segmenter(), case(moved), label, TASK, 1
        ).distances
        for unit in (None, 1.0)
    )
    assert set(steps) == set(distances)
    names = [structure.name for structure in TASK.structures]
    assert list(steps["assd_voxel"]) == names
    for name in names:
        assert 0 < steps["assd_voxel"][name] < 2
        assert in_mm["assd_voxel"][name] > steps["assd_voxel"][name]
        assert steps["hd_slice_pixel"][name] == 0
        assert steps["hd_row_pixel"][name] > 0  # it counts the slices that show one alone


def test_a_label_without_structures_is_refused_where_they_are_looked_for(volumes):
    prediction, label = volumes
    for protocol in (replace(PLAIN, crop=LabelBox(1, 40)), replace(PLAIN, labelled_slices=True)):
        with pytest.raises(DataError, match="no structure"):
            scored_volume(protocol, segmenter(), case(prediction), np.zeros_like(label), TASK)
    assert (
        scored_volume(PLAIN, segmenter(), case(prediction), np.zeros_like(label), TASK).reference.any() == 0
    )


def test_what_would_not_be_the_protocol_is_refused():
    check_protocol(PLAIN, "target", False)
    with pytest.raises(SettingError, match="that of the target"):
        check_protocol(PLAIN, "source", False)
    with pytest.raises(SettingError, match="itself"):
        check_protocol(PLAIN, "target", True)


def test_names_are_checked_with_the_nearest():
    assert CARDIAC.published_protocol(None) is None
    assert CARDIAC.published_protocol("whole_volume") is None
    assert CARDIAC.published_protocol("paper_prior_matching").largest_component
    with pytest.raises(SettingError, match="use whole_volume"):
        CARDIAC.published_protocol("whole_volum")
    with pytest.raises(SettingError, match="no paper evaluated on task 'soft_tissue'"):
        find_task("soft_tissue").published_protocol("paper")

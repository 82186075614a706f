"""The atlas of a release: where structures lie, whatever the field of view; nothing of a single subject."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.atlas import CELLS, MARGIN, STEP_MM, Atlas, AtlasFit, count_in_cells
from monai_sfda.body_coordinates import BodyCoordinates
from monai_sfda.catalog import IGNORED
from monai_sfda.errors import ReleaseError
from monai_sfda.guard.atlas_agreement import LEAST, atlas_signals

NAMES = ["background", "liver", "spleen", "kidney"]
STRUCTURES = {"liver": 1, "spleen": 2, "kidney": 3}
MM = 5.0


def places(heads: int = 60, size: int = 48, shift_mm: float = 0.0) -> BodyCoordinates:
    """Slices of 5 mm; the body fills the plane."""
    plane = (torch.arange(size).double() + 0.5) / size
    head = (torch.arange(heads).double() + 0.5 - heads / 2) * MM + shift_mm
    return BodyCoordinates((plane, plane, head), (1, 2, 0), heads * MM)


def labels(seed: int, *, first: int = 0, heads: int = 60, without: int | None = None) -> torch.Tensor:
    """(S, 48, 48): liver right, spleen left, a kidney behind; slices `first` on of a body of 60 slices."""
    rng = np.random.default_rng(seed)
    label = np.zeros((60, 48, 48), np.uint8)
    for k, (x, y, z), (a, b, c) in (
        (1, (14, 26, 36), (10, 10, 12)),
        (2, (38, 24, 38), (5, 5, 7)),
        (3, (16, 12, 22), (4, 4, 6)),
    ):
        x, y, z = np.array([x, y, z]) + rng.normal(0, 0.7, 3)
        s, r, f = np.ogrid[:60, :48, :48]
        label[((r - x) / a) ** 2 + ((f - y) / b) ** 2 + ((s - z) / c) ** 2 < 1] = k
    label[label == without] = 0
    return torch.from_numpy(label[first : first + heads])


def fitted(subjects: int = 6, **kinds) -> Atlas:
    """Anchored by all structures, unless `anchors` says otherwise."""
    fit = AtlasFit(4, [1, 2, 3], kinds.get("anchors", [1, 2, 3]))
    for seed in range(subjects):
        fit.add_subject([(labels(seed), places())])
    found = fit.finish(NAMES)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return fitted()


def test_probabilities_are_the_mean_label_map(atlas):
    """Against the mean of the labels themselves, blurred as a whole, at the same places."""
    from scipy.ndimage import gaussian_filter

    maps = torch.stack([torch.stack([labels(seed) == k for k in range(4)]) for seed in range(6)]).double()
    mean = maps.mean(0).permute(0, 2, 3, 1).numpy()  # K, right, front, head
    cell = 48 / (1 + 2 * MARGIN) ** -1 / CELLS  # voxels of a cell in the plane
    blurred = np.stack([gaussian_filter(m, (cell * 0.7, cell * 0.7, STEP_MM / MM * 0.7)) for m in mean])
    coordinates = places()
    anchor = np.mean(
        [
            np.mean(
                [
                    float(
                        (labels(s) == k).double().sum((1, 2)) @ coordinates.places[2] / (labels(s) == k).sum()
                    )
                    for k in (1, 2, 3)
                ]
            )
            for s in range(6)
        ]
    )
    found = atlas.at(coordinates.places[0], coordinates.places[1], coordinates.places[2] - anchor).numpy()
    inside = blurred[1:] > 0.02
    assert np.abs(found[1:] - blurred[1:])[inside].mean() < 0.05
    assert np.corrcoef(found[1:][inside], blurred[1:][inside])[0, 1] > 0.97
    np.testing.assert_allclose(found.sum(0), 1, atol=0.02)


def test_where_the_field_of_view_ends_does_not_matter(atlas):
    """Half of the subjects seen from another height, with other slices beyond: the same atlas."""
    fit = AtlasFit(4, [1, 2, 3], [1, 2, 3])
    for seed in range(6):
        first, heads = ((0, 60), (10, 45))[seed % 2]
        fit.add_subject([(labels(seed, first=first, heads=heads), places(heads))])
    other = fit.finish(NAMES)
    head = torch.arange(-60.0, 61.0, 10).double()
    plane = places().places[0]
    difference = (other.at(plane, plane, head) - atlas.at(plane, plane, head)).abs()
    assert float(difference.mean()) < 0.01


def test_it_is_small_and_reads_as_it_was_written(atlas, tmp_path):
    atlas.save(tmp_path / "atlas.safetensors")
    assert (tmp_path / "atlas.safetensors").stat().st_size < 20_000
    read = Atlas.load(tmp_path / "atlas.safetensors")
    torch.testing.assert_close(read.probabilities, atlas.probabilities)
    assert (read.subjects.tolist(), read.anchored, read.warnings) == ([6, 6, 6, 6], True, ())


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_a_damaged_file_is_an_error(atlas, tmp_path, content):
    path = tmp_path / "atlas.safetensors"
    atlas.save(path)
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ReleaseError, match="the atlas cannot be read"):
        Atlas.load(path)


def test_fewer_than_three_subjects_make_none():
    fit = AtlasFit(4, [1, 2, 3], [1, 2, 3])
    for seed in range(2):
        fit.add_subject([(labels(seed), places())])
    assert fit.finish(NAMES) is None


def test_a_structure_of_two_subjects_has_no_place():
    fit = AtlasFit(4, [1, 2, 3], [1, 2, 3])
    for seed in range(6):
        fit.add_subject([(labels(seed, without=2 if seed > 1 else None), places())])
    found = fit.finish(NAMES)
    assert found.subjects.tolist() == [6, 6, 0, 6]
    assert found.warnings == ("class 2 (spleen): too few subjects show it: it has no place in the atlas",)
    assert not found.probabilities[2].any()
    torch.testing.assert_close(
        found.probabilities.sum(0), torch.ones(found.probabilities.shape[1:]), atol=0.02, rtol=0
    )


def test_a_place_that_one_subject_alone_has_is_not_told():
    """One of six subjects with a second liver where nobody has one: the cells there stay empty."""
    fit = AtlasFit(4, [1, 2, 3], [1, 2, 3])
    for seed in range(6):
        label = labels(seed)
        if seed == 3:
            label[30:40, 40:47, 40:47] = 1
        fit.add_subject([(label, places())])
    plane = torch.tensor([43.5 / 48]).double()
    found = fit.finish(NAMES)
    assert float(found.at(plane, plane, torch.arange(-40.0, 41.0, 10).double())[1].max()) == 0


def test_several_scans_of_a_subject_count_as_one():
    fit = AtlasFit(4, [1, 2, 3], [1, 2, 3])
    for _ in range(2):
        fit.add_subject([(labels(seed), places()) for seed in range(3)])
    assert fit.finish(NAMES) is None


def test_sides_that_do_not_matter_are_both_in_the_atlas():
    """Structures that lie on the right of all subjects, of a task that a mirror does not change."""
    fits = [AtlasFit(4, [1, 2, 3], [1, 2, 3], mirrored=m) for m in (None, (0, 1, 3, 2), (0, 1, 2, 3))]
    for fit in fits:
        for seed in range(4):
            fit.add_subject([(labels(seed), places())])
    plain, exchanged, same = (fit.finish(NAMES).probabilities for fit in fits)
    close = {"atol": 0.01, "rtol": 0}
    torch.testing.assert_close(same[1:], ((plain + plain.flip(1)) / 2)[1:], **close)
    torch.testing.assert_close(exchanged[2], (plain[2] + plain[3].flip(0)) / 2, **close)
    torch.testing.assert_close(exchanged[3], exchanged[2].flip(0))


def test_a_picture_has_one_layer_and_its_sides_are_columns():
    fit = AtlasFit(2, [0, 1], mirrored=(0, 1), pictures=True)
    label = torch.zeros(1, 32, 64, dtype=torch.uint8)
    label[:, 16:, :32] = 1  # lower left
    sides = [(torch.arange(n).double() + 0.5) / n for n in (32, 64)]
    for _ in range(3):
        fit.add_subject([(label, BodyCoordinates((*sides, torch.zeros(1).double()), (1, 2, 0), 0.0))])
    found = fit.finish(["road", "sky"])
    assert found.probabilities.shape == (2, CELLS, CELLS, 1)
    left, right, above = (
        found.at(torch.tensor([y]), torch.tensor([x]), torch.zeros(1))[1].item()
        for y, x in ((0.75, 0.25), (0.75, 0.75), (0.25, 0.25))
    )
    assert (left, right, above) == pytest.approx((0.5, 0.5, 0.0), abs=0.01)


def test_ignored_pixels_do_not_count():
    label = labels(0)
    label[:, :24] = IGNORED
    cell = torch.zeros(60)
    counts = count_in_cells(label, places(), 4, CELLS, cell, 1)
    assert counts.sum() == (label != IGNORED).sum()
    assert [float(counts[k].sum()) for k in range(1, 4)] == [float((label == k).sum()) for k in range(1, 4)]


def test_a_new_subjects_labels_agree_and_exchanged_ones_do_not(atlas):
    true = labels(100)
    exchanged = true.clone()
    exchanged[true == 1], exchanged[true == 2] = 2, 1
    mirrored = true.flip(1)
    good, swapped, wrong = (
        atlas_signals(m, places(), atlas, STRUCTURES) for m in (true, exchanged, mirrored)
    )
    assert good["atlas"] > -1.5
    assert max(swapped["atlas"], wrong["atlas"]) < good["atlas"] - 1
    assert good["atlas_dice"] > 0.45
    assert max(swapped["atlas_dice"], wrong["atlas_dice"]) < good["atlas_dice"] / 2


@pytest.mark.parametrize(("first", "heads"), [(0, 60), (12, 40), (10, 50)])
def test_another_field_of_view_is_found(atlas, first, heads):
    whole = atlas_signals(labels(100), places(), atlas, STRUCTURES)
    part = atlas_signals(labels(100, first=first, heads=heads), places(heads), atlas, STRUCTURES)
    assert part["atlas"] == pytest.approx(whole["atlas"], abs=0.1)
    assert part["atlas_dice"] == pytest.approx(whole["atlas_dice"], abs=0.05)


def test_the_likelihood_by_hand():
    """An atlas of two halves, and a mask in one of them."""
    p = torch.zeros(2, CELLS, CELLS, 1)
    p[1, : CELLS // 2] = 0.8
    p[0] = 1 - p[1]
    halves = Atlas(p, torch.tensor([5, 5]), anchored=False)
    coordinates = BodyCoordinates(
        (torch.tensor([0.1, 0.9]).double(),) * 2 + (torch.zeros(1).double(),), (1, 2, 0), 0.0
    )
    mask = torch.tensor([[[1, 1], [0, 0]]])
    found = atlas_signals(mask, coordinates, halves, {"disc": 1})
    assert found["atlas"] == pytest.approx(np.log(0.8))
    assert found["atlas_dice"] == pytest.approx(2 * 2 * 0.8 / (2 + 2 * 0.8))
    outside = atlas_signals(1 - mask, coordinates, halves, {"disc": 1})
    assert outside["atlas"] == pytest.approx(np.log(LEAST))
    assert outside["atlas_dice"] == 0


def test_missing_structures_lower_the_dice_alone(atlas):
    whole = atlas_signals(labels(100), places(), atlas, STRUCTURES)
    missing = atlas_signals(labels(100, without=3), places(), atlas, STRUCTURES)
    assert missing["atlas"] == pytest.approx(whole["atlas"], abs=0.5)
    assert missing["atlas_dice"] < whole["atlas_dice"] - 0.07
    assert atlas_signals(torch.zeros(60, 48, 48), places(), atlas, STRUCTURES) == {}


def test_lesions_are_aligned_by_the_body():
    found = fitted(anchors=[])
    assert not found.anchored
    assert found.reach_mm >= 1.5 * 300 / 2
    here = atlas_signals(labels(100), places(), found, STRUCTURES)
    moved = atlas_signals(labels(100), places(shift_mm=60), found, STRUCTURES)
    assert moved["atlas"] < here["atlas"] - 0.5

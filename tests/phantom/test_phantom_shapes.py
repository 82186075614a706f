"""Partial volume, shapes and painting, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.errors import SettingError
from monai_sfda.phantom.geometry import BodyCoordinates, Grid, ellipsoid, segment, smooth_union, tube
from monai_sfda.phantom.layers import Layer, paint
from monai_sfda.phantom.tissues import Organ, Tissue


def coordinates(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> BodyCoordinates:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    x, y, z = np.moveaxis(Grid(shape, affine).world(index), -1, 0).astype(np.float32)
    return BodyCoordinates(Grid(shape, affine), x, y, z, (1.0, 1.0, 1.0), 0.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.3])
def test_a_plane_across_an_axis_cuts_a_voxel_in_its_exact_fraction(axis: int, offset: float) -> None:
    body = coordinates((9, 9, 9), (1.5, 2.0, 5.0))
    spacing = body.grid.spacing_mm[axis]
    f = (body.x, body.y, body.z)[axis] - np.float32(offset * spacing)
    profile = np.moveaxis(body.coverage(f), axis, 0)[:, 4, 4]
    np.testing.assert_allclose(profile, [1, 1, 1, 1, 0.5 + offset, 0, 0, 0, 0], atol=1e-3)


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.6, 1.6, 5.0), (3.2, 3.2, 7.0)])
def test_the_covered_volume_is_that_of_the_shape(spacing: tuple[float, float, float]) -> None:
    body = coordinates((48, 48, 40), spacing)
    radii = (25.0, 20.0, 30.0)
    covered = body.coverage(ellipsoid(body.whole(), (0.6, -0.3, 0.9), radii)).sum() * np.prod(spacing)
    assert covered == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.02)


def test_a_vessel_thinner_than_a_slice_keeps_about_its_volume() -> None:
    body = coordinates((40, 40, 12), (1.6, 1.6, 7.0))
    found = tube(body, ((-20.0, 2.0, 1.0), (20.0, -3.0, 1.0)), (2.5, 2.5))
    assert found is not None
    volume = body.coverage(found[1]).sum() * 1.6 * 1.6 * 7.0
    length = np.hypot(40.0, 5.0)
    assert volume == pytest.approx(np.pi * 2.5**2 * length + 4 / 3 * np.pi * 2.5**3, rel=0.35)


def test_distances_are_exact_for_a_sphere_and_a_capsule() -> None:
    body = coordinates((15, 15, 15), (4.0, 4.0, 4.0))
    at = body.whole()
    distance = np.sqrt(at.x**2 + at.y**2 + at.z**2) - 10.0
    outside = distance > -9.9
    sphere = ellipsoid(at, (0.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    np.testing.assert_allclose(sphere[outside], distance[outside], atol=1e-3)
    capsule = segment(at, (0.0, 0.0, -8.0), (0.0, 0.0, 8.0), (3.0, 3.0))
    beyond = np.maximum(np.abs(at.z) - 8.0, 0.0)
    np.testing.assert_allclose(capsule, np.sqrt(at.x**2 + at.y**2 + beyond**2) - 3.0, atol=1e-3)


def test_a_smooth_union_contains_both_shapes_and_is_theirs_far_from_the_crease() -> None:
    f, g = np.float32([-5.0, 1.0, 30.0]), np.float32([20.0, 1.0, 2.0])
    union = smooth_union(f, g, 8.0)
    assert np.all(union <= np.minimum(f, g) + 1e-6)
    np.testing.assert_allclose(union[[0, 2]], [-5.0, 2.0], atol=1e-6)
    assert union[1] == pytest.approx(1.0 - 8.0 / 4)


def test_layers_hide_what_lies_below_in_proportion_to_their_cover() -> None:
    box = (slice(0, 2), slice(0, 2), slice(0, 2))
    values = dict.fromkeys(Tissue, (0.0,)) | {
        Tissue.AIR: (-1000.0,),
        Tissue.LIVER: (100.0,),
        Tissue.SPLEEN: (50.0,),
    }
    layers = [
        Layer(Tissue.LIVER, box, np.full((2, 2, 2), 0.75, np.float32), Organ.LIVER),
        Layer(Tissue.SPLEEN, box, np.full((2, 2, 2), 0.4, np.float32), Organ.SPLEEN),
        Layer(Tissue.LIVER, box, np.zeros((2, 2, 2), np.float32), Organ.LIVER),
    ]
    (image,), labels = paint(layers, (2, 2, 2), values, Tissue.AIR)
    np.testing.assert_allclose(image, 0.4 * 50 + 0.6 * (0.75 * 100 - 0.25 * 1000), rtol=1e-6)
    assert np.unique(labels).tolist() == [Organ.LIVER]


@pytest.mark.parametrize(
    ("shape", "affine"), [((8, 8, 1), np.eye(4)), ((8, 8, 8), np.diag([1.0, 0.0, 1.0, 1.0]))]
)
def test_a_grid_without_volume_is_refused(shape: tuple[int, int, int], affine: np.ndarray) -> None:
    with pytest.raises(SettingError):
        Grid(shape, affine)

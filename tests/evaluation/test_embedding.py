"""The plane of the class prototypes against closed forms, and the picture drawn in it."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from monai_sfda.catalog import Structure
from monai_sfda.errors import DataError
from monai_sfda.evaluation.embedding import ClassGaussians, discriminant_plane, ellipse_axes
from monai_sfda.evaluation.embedding_figure import embedding_figure

STRUCTURES = (
    Structure("red", 1, (255, 0, 0), ("", "")),
    Structure("green", 2, (0, 255, 0), ("", "")),
)


def gaussians(classes: int, dimension: int, seed: int = 0) -> ClassGaussians:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(classes, dimension, dimension))
    return ClassGaussians(
        tuple(range(classes)), 3 * rng.normal(size=(classes, dimension)), roots @ roots.transpose(0, 2, 1)
    )


def scatters(g: ClassGaussians) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    within = sum(g.covariances) / len(g.classes)
    offsets = g.means - g.means.mean(axis=0)
    return np.asarray(within), sum(np.outer(d, d) for d in offsets) / len(g.classes)


@pytest.mark.parametrize("dimension", [2, 3, 8])
def test_two_gaussians_are_separated_along_fishers_direction(dimension: int) -> None:
    g = gaussians(2, dimension)
    within, _ = scatters(g)
    difference = g.means[1] - g.means[0]
    fisher = np.linalg.solve(within, difference)
    fisher /= np.sqrt(fisher @ within @ fisher)
    plane = discriminant_plane(g)
    first, second = plane.directions.T
    np.testing.assert_allclose(first * np.sign(first @ fisher), fisher, rtol=1e-4, atol=1e-5)
    centres = plane.points(g.means)
    mahalanobis = np.sqrt(difference @ np.linalg.solve(within, difference))
    assert abs(centres[1, 0] - centres[0, 0]) == pytest.approx(mahalanobis, rel=1e-4)
    assert centres[:, 1] == pytest.approx([0, 0], abs=1e-4)
    np.testing.assert_allclose(plane.covariance(within), np.eye(2), atol=1e-4)

    # What is left to the second direction: nothing uncorrelated with the first has a larger spread.
    others = np.random.default_rng(1).normal(size=(2000, dimension))
    others -= np.outer(others @ within @ first, first)
    spread = np.einsum("nd,de,ne->n", others, within, others) / (others**2).sum(axis=1)
    assert (second @ within @ second) / (second @ second) >= spread.max() * (1 - 2e-3)


@pytest.mark.parametrize("classes", [3, 5])
def test_several_gaussians_solve_the_generalised_eigenproblem(classes: int) -> None:
    g = gaussians(classes, 6)
    within, between = scatters(g)
    largest = np.sort(np.linalg.eigvals(np.linalg.solve(within, between)).real)[::-1]
    for value, v in zip(largest, discriminant_plane(g).directions.T, strict=False):
        assert v @ between @ v == pytest.approx(value, rel=1e-4)
        np.testing.assert_allclose(between @ v, value * within @ v, atol=1e-3 * np.abs(between @ v).max())


def test_the_picture_does_not_depend_on_the_coordinates_of_the_embedding() -> None:
    g, rng = gaussians(4, 5), np.random.default_rng(3)
    a, b, z = np.eye(5) + 0.3 * rng.normal(size=(5, 5)), rng.normal(size=5), rng.normal(size=(20, 5))
    moved = ClassGaussians(g.classes, g.means @ a.T + b, a @ g.covariances @ a.T)
    one = discriminant_plane(g).points(z)
    other = discriminant_plane(moved).points(z @ a.T + b)
    np.testing.assert_allclose(np.abs(one), np.abs(other), rtol=1e-3, atol=1e-3)


def test_projected_points_have_the_projected_covariance() -> None:
    g = gaussians(3, 4)
    plane = discriminant_plane(g)
    z = np.random.default_rng(0).multivariate_normal(g.means[1], g.covariances[1], size=100_000)
    np.testing.assert_allclose(
        np.cov(plane.points(z), rowvar=False), plane.covariance(g.covariances[1]), atol=0.03
    )


@pytest.mark.parametrize(("classes", "dimension"), [(1, 1), (1, 4), (2, 1), (5, 1), (2, 2), (3, 2)])
def test_few_classes_and_dimensions_have_a_plane(classes: int, dimension: int) -> None:
    g = gaussians(classes, dimension)
    plane = discriminant_plane(g)
    assert plane.directions.shape == (dimension, min(2, dimension))
    np.testing.assert_allclose(plane.covariance(scatters(g)[0]), np.eye(min(2, dimension)), atol=1e-4)


def test_dead_channels_and_constant_prototypes_do_no_harm() -> None:
    g = gaussians(3, 4)
    dead = np.array([1.0, 1.0, 0.0, 1.0])
    plane = discriminant_plane(
        ClassGaussians(g.classes, g.means * dead, g.covariances * np.outer(dead, dead))
    )
    assert np.isfinite(plane.directions).all()
    assert np.abs(plane.points(g.means * dead)).max() < 100
    still = discriminant_plane(ClassGaussians((0, 1), np.zeros((2, 3)), np.zeros((2, 3, 3))))
    assert np.isfinite(still.directions).all()
    with pytest.raises(DataError, match="no Gaussians"):
        ClassGaussians((), np.zeros((0, 3)), np.zeros((0, 3, 3)))


@pytest.mark.parametrize("degrees", [-60.0, 0.0, 30.0, 90.0])
def test_ellipses_are_turned_as_their_covariance(degrees: float) -> None:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s], [s, c]])
    long, short, angle = ellipse_axes(turn @ np.diag([9.0, 1.0]) @ turn.T)
    assert (long, short) == pytest.approx((3.0, 1.0))
    assert (angle - degrees + 90) % 180 == pytest.approx(90)


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(matplotlib.image.imread(io.BytesIO(png), format="png"), dtype=np.float64)[..., :3]


def reddish(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(image[..., 0] - image[..., 1:].max(axis=-1) > 0.15)


def test_points_are_drawn_in_their_colour_where_they_are_in_both_panels() -> None:
    g = ClassGaussians((0, 2), np.array([[0.0, 0.0], [10.0, 0.0]]), np.stack([np.eye(2)] * 2))
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + [10.0, 0.0]
    classes = np.ones(300, np.int64)
    image = pixels(embedding_figure(g, {"before": (near, classes), "after": (far, classes)}, STRUCTURES))
    half = image.shape[1] // 2
    panels = (image[: image.shape[0] * 4 // 5, :half], image[: image.shape[0] * 4 // 5, half:])
    places = [np.nonzero(reddish(panel))[1].mean() / half for panel in panels]
    assert abs(places[0] - places[1]) > 0.4


@pytest.mark.parametrize(("known", "dimension"), [((0, 1), 3), ((0,), 4), ((0, 1, 2), 1), ((2,), 1)])
def test_every_embedding_makes_a_picture(known: tuple[int, ...], dimension: int) -> None:
    whole = gaussians(3, dimension)
    g = ClassGaussians(known, whole.means[list(known)], whole.covariances[list(known)])
    z = np.random.default_rng(0).normal(size=(90, dimension))
    points = {"before $": (z, np.repeat([0, 1, 2], 30)), "after": (z[:0], np.zeros(0, np.int64))}
    image = pixels(embedding_figure(g, points, STRUCTURES))
    assert reddish(image).any()
    assert embedding_figure(g, points, STRUCTURES) == embedding_figure(g, points, STRUCTURES)


def test_embeddings_of_another_network_are_refused() -> None:
    with pytest.raises(DataError, match="3 dimensions"):
        embedding_figure(gaussians(2, 3), {"before": (np.zeros((5, 4)), np.zeros(5, np.int64))}, ())

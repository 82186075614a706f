"""The pictures: read back from PNG and looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monai_sfda.catalog import ABDOMEN, Structure
from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import quiet, spread_over_seeds
from monai_sfda.evaluation.figures import bars, color_of, curves, overlay, overlay_grid
from monai_sfda.evaluation.network_figures import Scatter, response_grid, scatter_grid

PURE = (
    Structure("red", 1, (255, 0, 0), ("", "")),
    Structure("green", 2, (0, 255, 0), ("", "")),
)


def pixels(png: bytes) -> NDArray[np.float64]:
    assert png.startswith(b"\x89PNG")
    return np.asarray(matplotlib.image.imread(io.BytesIO(png), format="png"), dtype=np.float64)[..., :3]


def tinted(image: NDArray[np.float64], channel: int) -> NDArray[np.bool_]:
    others = [c for c in range(3) if c != channel]
    return np.asarray(image[..., channel] - image[..., others].max(axis=-1) > 0.2)


def centre_of(mask: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean() / mask.shape[0]), float(columns.mean() / mask.shape[1])


def test_an_overlay_shows_the_patients_right_on_the_left_and_anterior_on_top() -> None:
    segmentation = np.zeros((40, 40), np.uint8)
    segmentation[28:36, 28:36] = 1
    segmentation[4:12, 4:12] = 2
    image = pixels(overlay(np.zeros((40, 40)), segmentation, None, PURE))
    assert centre_of(tinted(image, 0)) == pytest.approx((0.2, 0.2), abs=0.06)
    assert centre_of(tinted(image, 1)) == pytest.approx((0.8, 0.8), abs=0.06)


def test_pixels_keep_their_physical_shape() -> None:
    segmentation = np.zeros((60, 20), np.uint8)
    segmentation[20:40, 5:15] = 1
    mask = tinted(pixels(overlay(np.zeros((60, 20)), segmentation, None, PURE, pixel_size_mm=(1.0, 4.0))), 0)
    height, width = mask.any(axis=1).sum(), mask.any(axis=0).sum()
    assert height / width == pytest.approx((10 * 4.0) / (20 * 1.0), rel=0.06)


def test_the_reference_is_drawn_without_hiding_the_segmentation() -> None:
    segmentation = np.zeros((40, 40), np.uint8)
    segmentation[10:30, 10:30] = 1
    bare = pixels(overlay(np.zeros((40, 40)), segmentation, None, PURE))
    both = pixels(overlay(np.zeros((40, 40)), segmentation, segmentation, PURE))
    assert ((both.min(axis=-1) > 0.9).sum() - (bare.min(axis=-1) > 0.9).sum()) > 200
    assert tinted(both, 0).sum() > 0.8 * tinted(bare, 0).sum()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_images_without_contrast_or_finite_values_are_drawn(value: float) -> None:
    assert pixels(overlay(np.full((9, 7), value), None, None, ())).size > 0


def test_a_segmentation_that_fills_the_image_is_drawn() -> None:
    assert tinted(pixels(overlay(np.zeros((8, 8)), np.ones((8, 8), np.uint8), None, PURE)), 0).mean() > 0.6


def test_a_grid_shows_every_column_and_row() -> None:
    plane = np.zeros((30, 30))
    red, green = (np.full((30, 30), k, np.uint8) for k in (1, 2))
    columns: Sequence[tuple[str, list[tuple[NDArray[np.float64], NDArray[np.uint8] | None]]]] = [
        ("before", [(plane, red), (plane, None)]),
        ("after $", [(plane, None), (plane, green)]),
    ]
    image = pixels(overlay_grid(columns, PURE, row_titles=["slice 3", "slice 9"]))
    row, column = centre_of(tinted(image, 0))
    assert row < 0.5
    assert column < 0.55
    row, column = centre_of(tinted(image, 1))
    assert row > 0.5
    assert column > 0.5


def test_figures_are_the_same_every_time() -> None:
    first, second = (curves([(i, "loss", 1.0 / (i + 1)) for i in range(60)]) for _ in range(2))
    assert first == second


def test_arrays_that_do_not_match_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(4, 5\)"):
        overlay(np.zeros((4, 4)), np.zeros((4, 5), np.uint8), None, ())
    with pytest.raises(DataError, match="one slice"):
        overlay(np.zeros((4, 4, 4)), None, None, ())
    with pytest.raises(DataError, match="grid"):
        overlay_grid([("a", [(np.zeros((4, 4)), None)]), ("b", [])])
    with pytest.raises(DataError, match="grid"):
        overlay_grid([])


def test_curves_take_every_history() -> None:
    history = [(0, "a_$x^{", 1.0), (1, "a_$x^{", float("nan")), (0, "b", float("inf"))]
    history += [(i, "long", float(i)) for i in range(100)] + [(0, "fourth", 2.0)]
    narrow, wide = pixels(curves(history[:2])), pixels(curves(history))
    assert wide.shape[1] > 2.5 * narrow.shape[1]
    assert wide.shape[0] > 1.5 * narrow.shape[0]
    with pytest.raises(DataError, match="no loss"):
        curves([])


def test_bars_are_as_high_as_their_values_and_take_missing_ones() -> None:
    image = pixels(bars({"before": {"liver": 0.4, "spleen": None}, "after": {"liver": 0.8, "spleen": 0.2}}))
    blue = tinted(image, 2)
    heights = blue[:, : blue.shape[1] // 2].sum(axis=0).max(), blue[:, blue.shape[1] // 2 :].sum(axis=0).max()
    assert heights[0] > 3 * heights[1] > 0
    with pytest.raises(DataError, match="no score"):
        bars({"before": {}})


def test_colours_are_those_of_the_catalog_and_others_differ() -> None:
    assert color_of(1, ABDOMEN.structures) == (221, 130, 101)
    spare = [color_of(index, ()) for index in range(1, 8)]
    assert len(set(spare)) == len(spare)


def test_a_scatter_has_its_class_colours_where_the_points_are() -> None:
    drawn = np.random.default_rng(0).uniform(0, 3, size=(100, 2))
    points = np.concatenate([drawn[:50], 10 - drawn[50:]]).astype(np.float32)
    cloud = Scatter("one", points, np.array([1] * 50 + [2] * 50))
    empty = Scatter("none", np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    image = pixels(scatter_grid([[cloud, empty]], PURE, heading="clouds"))
    left = image[int(0.12 * len(image)) : int(0.85 * len(image)), : image.shape[1] // 2]
    red, green = centre_of(tinted(left, 0)), centre_of(tinted(left, 1))
    assert red[0] > 0.6 > 0.4 > green[0]
    assert red[1] < 0.4 < 0.6 < green[1]
    assert not tinted(image[: int(0.85 * len(image)), image.shape[1] // 2 :], 0).any()


def test_no_points_make_no_scatter() -> None:
    empty = Scatter("none", np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    for rows in ([[empty]], [[None]], [[empty], [empty, empty]]):
        with pytest.raises(DataError, match="points"):
            scatter_grid(rows, PURE, heading="")


def test_responses_that_do_not_change_have_a_dark_difference() -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(size=(32, 32)).astype(np.float32)
    before = generator.normal(size=(2, 16, 16)).astype(np.float32)
    after = before.copy()
    after[1] += generator.normal(size=(16, 16)).astype(np.float32)
    drawn = pixels(response_grid(image, before, after, ["first", "second"], heading="responses"))
    height, width = drawn.shape[:2]
    below = drawn[int(0.72 * height) : int(0.9 * height)]
    same, changed = (
        below[:, int(0.45 * width) : int(0.6 * width)],
        below[:, int(0.75 * width) : int(0.92 * width)],
    )
    assert same.max() == 0.0
    assert changed.std() > 0.1
    with pytest.raises(DataError, match="make no figure"):
        response_grid(image, before, after[:1], ["first", "second"], heading="")


def test_bars_over_seeds_are_as_long_as_the_means() -> None:
    results = {"a": {"liver": [0.2, 0.4]}, "b": {"liver": [0.6, None]}, "c": {"liver": [None, None]}}
    drawn = pixels(spread_over_seeds(results))
    bars_seen = drawn[..., 2] - drawn[..., 0] > 0.15
    lengths = bars_seen.sum(axis=1)
    lines = np.flatnonzero(lengths > 10)
    first, second = np.split(lines, [int(np.argmax(np.diff(lines))) + 1])
    assert np.median(lengths[second]) / np.median(lengths[first]) == pytest.approx(2.0, rel=0.05)
    with pytest.raises(DataError, match="no score"):
        spread_over_seeds({"a": {}})


def test_axes_show_values_themselves_and_not_an_offset_from_one() -> None:
    panel = Figure().subplots()
    panel.plot([0, 1], [0.95539, 0.9554])
    quiet(panel)
    panel.figure.canvas.draw()
    assert panel.yaxis.get_offset_text().get_text() == ""
    assert all(label.get_text().startswith("0.955") for label in panel.get_yticklabels())

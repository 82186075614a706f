"""Drawn streets: every class is there, perspective is right, and the two renderings differ as meant."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from monai_sfda.catalog import STREET
from monai_sfda.errors import SettingError
from monai_sfda.phantom import write_phantoms
from monai_sfda.phantom.street_classes import CAR, EGO, ROAD, SKY, TERRAIN
from monai_sfda.phantom.street_geometry import StreetCamera, StreetCanvas
from monai_sfda.phantom.street_rendering import draw_drive, render_camera, render_game
from monai_sfda.phantom.street_scene import CITY_HABITS, GAME_HABITS, draw_scene

CLASSES = {r.low for r in STREET.target.label_values}


@pytest.fixture(scope="module", params=[GAME_HABITS, CITY_HABITS], ids=["game", "city"])
def scenes(request):
    return [draw_scene(request.param, 128, np.random.default_rng(seed)) for seed in range(40)]


def test_every_class_is_common_enough_to_be_learned(scenes):
    shown = {c: sum(bool((s.label == c).any()) for s in scenes) for c in CLASSES}
    assert min(shown.values()) >= len(scenes) // 5, shown
    assert all((s.label[: s.label.shape[0] // 8] == ROAD).sum() == 0 for s in scenes)
    assert all((s.label[-s.label.shape[0] // 4 :] == SKY).sum() == 0 for s in scenes)


def test_every_pixel_is_named_and_own_car_and_bins_are_all_that_is_ignored(scenes):
    for scene in scenes:
        assert set(np.unique(scene.label)) - CLASSES <= {EGO, 4}
        assert np.mean(~np.isin(scene.label, list(CLASSES))) < 0.15


def test_a_thing_twice_as_far_is_half_as_large_and_stands_higher():
    camera = StreetCamera((100, 200), 150.0, 1.5, (45.0, 100.0))
    size, foot = [], []
    for z in (10.0, 20.0):
        canvas = StreetCanvas(camera)
        where = canvas.polygon([(-2, 0, z), (2, 0, z), (2, 4, z), (-2, 4, z)], CAR, canvas.new_thing())
        size.append(where.any(axis=0).sum())
        foot.append(np.flatnonzero(where.any(axis=1)).max())
    assert size[0] == pytest.approx(150 * 4 / 10, abs=1.5)
    assert size[1] == pytest.approx(150 * 4 / 20, abs=1.5)
    assert foot[0] == pytest.approx(45 + 150 * 1.5 / 10, abs=1.5)
    assert foot[0] > foot[1] > 45


def test_the_ground_is_where_the_camera_sees_it():
    camera = StreetCamera((100, 200), 150.0, 1.5, (45.0, 100.0))
    x, z = camera.ground()
    assert np.isinf(z[:44]).all()
    column, row = camera.project((float(x[80, 30]), 0.0, float(z[80, 30])))
    assert (column, row) == pytest.approx((30.5, 80.5))


def test_the_game_is_colourful_and_the_camera_hazy_and_noisy(scenes):
    """Saturation, contrast of far things, and noise on the flat road, of the same scenes."""
    game, camera = [], []
    for number, scene in enumerate(scenes[:10]):
        drive = draw_drive(np.random.default_rng(number))
        pictures = (
            render_game(scene, np.random.default_rng(number)),
            render_camera(scene, drive, np.random.default_rng(number)),
        )
        far = (scene.depth_m > 30) & (scene.label != SKY) & (scene.label != TERRAIN)
        for picture, into in zip(pictures, (game, camera), strict=True):
            values = picture.astype(float)
            saturation = (values.max(2) - values.min(2)) / values.max(2).clip(1)
            noise = np.diff(values[..., 1], axis=1)[scene.label[:, 1:] == ROAD].std()
            into.append((saturation.mean(), values[far].std(), noise))
    (s_game, c_game, _), (s_camera, c_camera, _) = (np.mean(v, axis=0) for v in (game, camera))
    assert s_game > 1.5 * s_camera
    assert c_game > 1.5 * c_camera


def digests(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*.png")
    }


def test_data_sets_are_reproducible_complete_and_of_different_scenes(tmp_path):
    for name, workers in (("a", 1), ("b", 2)):
        write_phantoms("street", tmp_path / name, subjects=1, seed=4, matrix=64, workers=workers)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    assert len(first) == 3 * 16 * 2
    labels = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "a" / "gta5" / "labels").iterdir())]
    assert labels[0].shape == (32, 64)
    assert all((labels[0] != other).any() for other in labels[1:])
    victim = tmp_path / "a" / "gta5" / "images" / "00007.png"
    victim.unlink()
    write_phantoms("street", tmp_path / "a", subjects=1, seed=4, matrix=64, workers=1)
    assert digests(tmp_path / "a") == first


def test_impossible_sizes_are_refused(tmp_path):
    with pytest.raises(SettingError, match="even number"):
        write_phantoms("street", tmp_path / "p", subjects=1, seed=4, matrix=63)

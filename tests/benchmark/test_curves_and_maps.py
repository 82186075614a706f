"""Dice by weights kept on the way, and entropy maps: against numbers by hand, and on a real run."""

from __future__ import annotations

import io
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from monai_sfda.ablations import Arm
from monai_sfda.benchmark.entropy_maps import entropy_and_classes, entropy_before_and_after
from monai_sfda.benchmark.trajectory import dice_over_the_run
from monai_sfda.benchmark.volume_dice import mean_dice, predicted_volumes
from monai_sfda.catalog import ABDOMEN as TASK
from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import DataError
from monai_sfda.evaluation.entropy_figure import Prediction, entropy_grid
from monai_sfda.evaluation.trajectory_figure import trajectories
from monai_sfda.phantom import write_phantoms
from monai_sfda.workflow.experiment import Experiment
from tests.builders import BUNDLES, small_network, toy_abdomen
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, run_in_process


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    path = toy_abdomen(tmp_path_factory.mktemp("toy"))
    return StackDataset(
        "abdomen", "target", "train", path.parent, datalist=path, image_size=32, pixel_size_mm=3.2
    )


def test_mean_dice_is_that_of_sets_of_voxels(stacks):
    network = small_network().eval()
    predicted = [volume.numpy() for volume in predicted_volumes(network, stacks)]
    by_structure = []
    for k in range(1, 5):
        scores = []
        for volume, found in zip(stacks.volumes, predicted, strict=True):
            p = {tuple(i) for i in np.argwhere(found == k)}
            r = {tuple(i) for i in np.argwhere(volume.label[:, 0].numpy() == k)}
            scores.append(2 * len(p & r) / (len(p) + len(r)))
        by_structure.append(np.mean(scores))
    assert mean_dice(network, stacks) == pytest.approx(np.mean(by_structure), rel=1e-12)


def test_entropy_of_a_network_that_knows_nothing_is_log_k(stacks):
    network = small_network().eval()
    torch.nn.init.zeros_(network.classifier.weight)
    torch.nn.init.zeros_(network.classifier.bias)
    entropy, classes = entropy_and_classes(network, stacks)
    assert entropy.shape == classes.shape == (len(stacks), 32, 32)
    assert float(entropy.min()) == pytest.approx(math.log(5), rel=1e-6)
    assert float(entropy.max()) == pytest.approx(math.log(5), rel=1e-6)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_higher_curve_is_drawn_higher():
    """The same curve at 0.1 and at 0.9: the coloured pixels of the second are above those of the first."""
    rows = []
    for value in (0.1, 0.9):
        picture = pixels(trajectories({"one": [(0, value), (5, value)]}, None))
        colored = (picture.max(2) - picture.min(2) > 60)[:, : picture.shape[1] // 2]
        rows.append(np.argwhere(colored)[:, 0].mean())
    assert rows[1] < rows[0] - 100
    with pytest.raises(DataError, match="no score to draw"):
        trajectories({"one": [(0, None)]}, 0.9)


def test_maps_share_one_scale_and_shapes_must_agree():
    image = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    classes = np.zeros((20, 30), np.uint8)
    low, high = (np.full((20, 30), v, np.float32) for v in (0.1, 1.5))

    def picture(first, second):
        predictions = [Prediction("a", first, classes), Prediction("b", second, classes)]
        return pixels(entropy_grid(image, classes, predictions, TASK.structures, highest=1.6, heading=""))

    both, lows = picture(high, low), picture(low, low)
    assert both.shape == lows.shape
    changed = np.argwhere((both != lows).any(2))[:, 1]
    assert changed.max() < both.shape[1] * 0.67  # the second map is drawn alike beside a high one
    with pytest.raises(DataError, match="no figure"):
        picture(high[:5], low)


def test_curves_and_maps_of_a_real_run(tmp_path):
    """Weights kept every epoch of a run, the last equal to what the run published."""
    data, out = tmp_path / "data", tmp_path / "seed0"
    write_phantoms("abdomen", data, subjects=4, seed=5, matrix=64, workers=1)
    run_in_process(ABDOMEN, ("train", "small"), dataset_dir=data, output_dir=out / "train_source", **QUICK)
    shutil.copytree(out / "train_source", out / "train_target")
    arm = Arm("mean teacher", "teacher", "mean_teacher", {"adaptation#keep_weights": 20})
    still = Arm("AdaBN", "adabn", "adabn")
    for one in (arm, still):
        run_in_process(
            ABDOMEN,
            ("adapt", "small"),
            dataset_dir=data,
            release=out / "train_source" / "release",
            method=one.method,
            output_dir=out / one.folder,
            **QUICK_ADAPT,
            **one.overrides,
        )
    kept = sorted(p.name for p in (out / "teacher" / "weights").iterdir())
    assert kept == ["epoch_0001.pt", "epoch_0002.pt"]
    last = torch.load(out / "teacher" / "weights" / kept[-1], weights_only=True)
    published = torch.load(out / "teacher" / "adapted.pt", weights_only=True)
    assert all(torch.equal(last[name], value) for name, value in published.items())
    assert not (out / "adabn" / "weights").exists()

    common = {"image_size": 64, "pixel_size_mm": 6.4, "device": "cpu"}
    experiment = Experiment("abdomen", data, out, arms=(arm, still), bundles=BUNDLES, common=common)
    curves = dice_over_the_run(experiment, (arm, still))
    assert set(curves.measures) == {"mean teacher", "AdaBN"}
    for measured in curves.measures.values():
        low, high = measured["lowest Dice on the way"], measured["highest Dice on the way"]
        assert 0 <= low <= measured["last Dice"] <= high <= 1
    maps = entropy_before_and_after(experiment, (arm, still))
    assert set(maps.measures) == {"unadapted", "mean teacher", "AdaBN"}
    assert all(0 < m["mean entropy, nats"] < math.log(5) for m in maps.measures.values())
    (tmp_path / "curves.png").write_bytes(curves.figure)
    (tmp_path / "maps.png").write_bytes(maps.figure)

"""Training of the class-ratio regressor: its loss against numpy, and that it learns what a slice shows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.class_ratio_regression import (
    ClassRatioRegressorSettings,
    ClassRatioTrainer,
    class_ratio_error,
)
from monai_sfda.engines.handlers import CHECKPOINT
from monai_sfda.losses import label_class_ratio
from monai_sfda.networks import ClassRatioRegressor
from tests.builders import toy_abdomen

OFF = {"rotation_degrees": 0.0, "zoom": 0.0, "shift": 0.0, "sign_flip": 0.0, "gamma": 0.0, "noise": 0.0}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    datalist = toy_abdomen(tmp_path_factory.mktemp("toy"))
    data = StackDataset(
        "abdomen", "source", "train", datalist.parent, datalist=datalist, image_size=32, pixel_size_mm=3.2
    )
    data.prepare()
    return data


def trainer(stacks, out, **settings):
    torch.manual_seed(0)
    return ClassRatioTrainer(
        ClassRatioRegressor(3, 5, "resnet10", width=4),
        settings=ClassRatioRegressorSettings(**settings),
        dataset=stacks,
        device="cpu",
        batch_size=12,
        seed=1,
        output_dir=out,
        augmentation=OFF,
    )


def test_loss_is_the_squared_error_of_the_ratio(stacks, tmp_path):
    training = trainer(stacks, tmp_path)
    items = [stacks[i] for i in (0, 2, 8)]
    batch = {name: torch.stack([item[name] for item in items]) for name in ("image", "label")}
    with torch.no_grad():
        guessed = copy.deepcopy(training.network).train()(batch["image"]).numpy()
    labels = batch["label"].numpy()
    true = np.stack([[(one == k).mean() for k in range(5)] for one in labels])
    loss = training.losses(batch, torch.Generator())["squared_error"]
    assert float(loss) == pytest.approx(((guessed - true) ** 2).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize("optimizer", [{"learning_rate": 0.01}, {"optimizer": "sgd", "learning_rate": 0.5}])
def test_it_tells_empty_slices_from_full_ones(stacks, tmp_path, optimizer):
    training = trainer(stacks, tmp_path, max_epochs=15, epoch_length=10, **optimizer)
    training.run()
    training.finish()
    assert not (tmp_path / CHECKPOINT).exists()
    images = torch.stack([stacks[i]["image"] for i in range(len(stacks))])
    true = label_class_ratio(torch.stack([stacks[i]["label"] for i in range(len(stacks))]), 5)
    with torch.no_grad():
        guessed = training.network.eval()(images).double()
    error = (guessed - true).square().sum(1).mean()
    constant = (true.mean(0) - true).square().sum(1).mean()
    assert float(error) < 0.25 * float(constant)


def test_error_on_held_out_slices_beside_that_of_the_mean(stacks):
    torch.manual_seed(0)
    network, mean = ClassRatioRegressor(3, 5, "resnet10", width=4), (0.6, 0.1, 0.1, 0.1, 0.1)
    found = class_ratio_error(network, stacks, mean, device=torch.device("cpu"), batch_size=4)
    with torch.no_grad():
        guessed = network.eval()(torch.stack([stacks[i]["image"] for i in range(len(stacks))])).numpy()
    labels = np.stack([stacks[i]["label"].numpy() for i in range(len(stacks))])
    true = np.stack([[(one == k).mean() for k in range(5)] for one in labels])
    assert found["slices"] == len(stacks)
    assert found["squared_error"] == pytest.approx(((guessed - true) ** 2).sum(1).mean(), rel=1e-5)
    assert found["squared_error_of_the_mean"] == pytest.approx(
        ((np.array(mean) - true) ** 2).sum(1).mean(), rel=1e-9
    )


def test_a_stopped_training_goes_on_to_the_same_weights(stacks, tmp_path):
    whole = trainer(stacks, tmp_path / "whole", max_epochs=2, epoch_length=3)
    whole.run()
    first = trainer(stacks, tmp_path / "parts", max_epochs=2, epoch_length=3)
    first.checkpoint_interval = 3
    own = first.before_step

    def stop_at_the_fifth(iteration):
        own(iteration)
        if iteration == 5:
            raise InterruptedError

    first.before_step = stop_at_the_fifth
    with pytest.raises(InterruptedError):
        first.run()
    again = trainer(stacks, tmp_path / "parts", max_epochs=2, epoch_length=3)
    again.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name

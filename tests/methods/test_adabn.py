"""AdaBN: the running statistics are those of all target slices, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines import AdaptationTrainer
from monai_sfda.engines.handlers import CHECKPOINT
from monai_sfda.errors import SettingError
from monai_sfda.methods import create_method
from tests.builders import release, small_network, toy_abdomen


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return toy_abdomen(tmp_path_factory.mktemp("toy"))


def adapted(datalist, out, **options):
    trainer = AdaptationTrainer(
        small_network(seed=1),
        StackDataset(
            "abdomen",
            "target",
            "train",
            datalist.parent,
            datalist=datalist,
            labels=False,
            image_size=32,
            pixel_size_mm=3.2,
        ),
        method=create_method("adabn"),
        release=release(small_network()),
        device="cpu",
        max_epochs=1,
        epoch_length=1,
        seed=0,
        output_dir=out,
        augmentation={"noise": 1.0, "sign_flip": 1.0},
        **({"batch_size": 4} | options),
    )
    trainer.run()
    return trainer


def test_running_statistics_are_those_of_one_pass_of_the_adapted_network_over_all_slices(datalist, tmp_path):
    trainer = adapted(datalist, tmp_path)
    network, seen = trainer.network.eval(), {}
    layers = {n: m for n, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, module in layers.items():
        module.register_forward_pre_hook(
            lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs[0].numpy())
        )
    with torch.no_grad():
        for i in range(len(trainer.dataset)):
            network(trainer.dataset[i]["image"][None])
    assert len(layers) == len(seen) > 1
    for name, module in layers.items():
        x = np.concatenate(seen[name]).astype(np.float64)
        assert len(x) == len(trainer.dataset) == 18
        np.testing.assert_allclose(module.running_mean, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(module.running_var, x.var((0, 2, 3)), rtol=1e-4)


def test_weights_stay_the_releases_and_no_step_is_taken(datalist, tmp_path):
    trainer = adapted(datalist, tmp_path)
    before, after = release(small_network()).state_dict, trainer.network.state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (not name.endswith(("running_mean", "running_var"))), name
    assert trainer.state.iteration == 0
    assert trainer.history.rows == []
    assert not (tmp_path / CHECKPOINT).exists()


def test_batch_size_does_not_matter(datalist, tmp_path):
    first, second = (adapted(datalist, tmp_path / str(n), batch_size=n).network.state_dict() for n in (1, 5))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


def test_it_has_neither_settings_nor_a_learning_rate(datalist, tmp_path):
    with pytest.raises(SettingError, match="no setting 'learning_rate'"):
        create_method("adabn", {"learning_rate": 1e-3})
    with pytest.raises(SettingError, match="method 'adabn' has no learning rate"):
        adapted(datalist, tmp_path, learning_rate=1e-3)

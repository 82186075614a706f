"""Training and adaptation engines: named losses, files, seeds, and a stopped run that goes on to the same
weights.
"""

from __future__ import annotations

import csv

import pytest
import torch
from ignite.engine import Events

from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines import AdaptationTrainer, SupervisedTrainer
from monai_sfda.engines.handlers import CHECKPOINT, read_history
from monai_sfda.errors import CheckpointError, DataError, SettingError
from monai_sfda.methods import create_method
from monai_sfda.networks import DeepLabV3VGG16, SegmentationNetwork
from tests.builders import release, small_network, toy_abdomen

AUGMENTATION = {"rotation_degrees": 10.0, "noise": 0.1}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return toy_abdomen(tmp_path_factory.mktemp("toy"))


def stacks(datalist, domain="source", labels=True):
    return StackDataset(
        "abdomen",
        domain,
        "train",
        datalist.parent,
        datalist=datalist,
        labels=labels,
        image_size=32,
        pixel_size_mm=3.2,
    )


def supervised(datalist, out, **changes):
    options = {
        "settings": {"loss": "dice_cross_entropy", "learning_rate": 1e-3},
        "device": "cpu",
        "max_epochs": 3,
        "epoch_length": 5,
        "batch_size": 4,
        "seed": 3,
        "output_dir": out,
        "augmentation": AUGMENTATION,
    }
    network = small_network()
    network.dropout.p = 0.3
    return SupervisedTrainer(network, stacks(datalist), **(options | changes))


SFS = {"points": 256, "projections": 10}


def adaptation(datalist, out, name="sfs", settings=SFS, **changes):
    network = small_network()
    options = {
        "method": create_method(name, {"learning_rate": 1e-3, **settings}),
        "release": release(small_network()),
        "device": "cpu",
        "max_epochs": 3,
        "epoch_length": 4,
        "batch_size": 2,
        "seed": 3,
        "output_dir": out,
        "augmentation": AUGMENTATION,
    }
    return AdaptationTrainer(network, stacks(datalist, "target", labels=False), **(options | changes))


def adaptation_to_fixed_samples(datalist, out, **changes):
    return adaptation(datalist, out, settings=SFS | {"pseudo_samples": "fixed"}, **changes)


def osuda(datalist, out, **changes):
    settings = {"learning_rate": 1e-3, "time_constant": 5.0}
    return adaptation(datalist, out, "osuda", settings, **changes)


def tent(datalist, out, **changes):
    return adaptation(datalist, out, "tent", {}, **changes)


def adaptation_by_mas3(datalist, out, **changes):
    return adaptation(datalist, out, "mas3", SFS | {"confidence_threshold": 0.3}, **changes)


def adaptation_by_adaent(datalist, out, **changes):
    return adaptation(datalist, out, "adaent", {"ratio_weight": 1.0}, **changes)


def adaptation_by_mean_teacher(datalist, out, **changes):
    settings = {"ema": 0.5, "confidence_threshold": 0.3}
    return adaptation(datalist, out, "mean_teacher", settings, **changes)


LOSSES = {
    supervised: {"dice", "cross_entropy"},
    adaptation: {"alignment", "classifier"},
    adaptation_to_fixed_samples: {"alignment", "classifier"},
    adaptation_by_mas3: {"alignment", "classifier"},
    adaptation_by_adaent: {"entropy", "class_ratio"},
    adaptation_by_mean_teacher: {"consistency"},
    osuda: {"consistency", "entropy", "eta", "lambda", "distance"},
    tent: {"entropy"},
}
MAKERS = list(LOSSES)


@pytest.mark.parametrize("make", MAKERS)
def test_run_leaves_history_and_tensorboard(datalist, tmp_path, make):
    trainer = make(datalist, tmp_path)
    before = [p.clone() for p in trainer.network.parameters()]
    trainer.run()
    trainer.finish()
    assert any(not torch.equal(p, q) for p, q in zip(trainer.network.parameters(), before, strict=True))
    assert LOSSES[make] <= {name for _, name, _ in read_history(tmp_path)}
    with (tmp_path / "history.csv").open(encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == ["iteration", "name", "value"]
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("stop_at", [4, 7, 11])
def test_stopped_run_goes_on_to_the_same_weights(datalist, tmp_path, make, stop_at):
    whole = make(datalist, tmp_path / "whole", checkpoint_interval=3)
    whole.run()

    class StoppedError(RuntimeError):
        pass

    def stop(engine):
        if engine.state.iteration == stop_at:
            raise StoppedError

    first = make(datalist, tmp_path / "parts", checkpoint_interval=3)
    first.add_event_handler(Events.ITERATION_STARTED, stop)
    with pytest.raises(StoppedError):
        first.run()
    assert (tmp_path / "parts" / CHECKPOINT).is_file()
    second = make(datalist, tmp_path / "parts", checkpoint_interval=3)
    second.run()
    for (name, a), b in zip(
        whole.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert [row for row in second.history.rows if row[1] != "x"][-1] == whole.history.rows[-1]


@pytest.mark.parametrize("make", MAKERS)
def test_mixed_precision_trains_and_goes_on(datalist, tmp_path, make):
    """bfloat16 on the CPU: other numbers than float32, finite ones, and the same again after a stop."""
    runs = [make(datalist, tmp_path / name, amp=True, max_epochs=1) for name in "ab"]
    runs.append(make(datalist, tmp_path / "c", max_epochs=1))
    for trainer in runs:
        trainer.run()
    mixed, again, full = (
        torch.cat([p.detach().flatten() for p in trainer.network.parameters()]) for trainer in runs
    )
    assert torch.isfinite(mixed).all()
    assert torch.equal(mixed, again)
    assert not torch.equal(mixed, full)
    torch.testing.assert_close(mixed, full, rtol=0.1, atol=0.05)
    assert runs[0].describe()["precision"] == "bfloat16"
    assert all(p.dtype == torch.float32 for p in runs[0].network.parameters())


class PlainBackbone(torch.nn.Module):
    """No batch norm and no dropout: the gradient of a batch is the mean of its parts'."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.convolution(x)


def test_accumulated_parts_give_the_whole_batchs_gradient(datalist, tmp_path):
    weights = []
    for parts in (1, 2, 4):
        torch.manual_seed(0)
        network = SegmentationNetwork(PlainBackbone(), embedding_channels=4, num_classes=5)
        trainer = SupervisedTrainer(
            network,
            stacks(datalist),
            settings={"loss": "cross_entropy"},
            device="cpu",
            max_epochs=1,
            epoch_length=3,
            batch_size=4,
            seed=0,
            output_dir=tmp_path / str(parts),
            augmentation=AUGMENTATION,
            accumulate=parts,
        )
        trainer.run()
        weights.append(network.backbone.convolution.weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(weights[0], weights[2], rtol=1e-4, atol=1e-6)


def test_unfinished_run_with_other_settings_is_not_touched(datalist, tmp_path):
    trainer = supervised(datalist, tmp_path, max_epochs=1)
    trainer.run()
    content = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(CheckpointError, match="other settings"):
        supervised(datalist, tmp_path, max_epochs=1, seed=4).run()
    assert (tmp_path / CHECKPOINT).read_bytes() == content


def test_same_seed_same_weights_other_seed_others(datalist, tmp_path):
    def weights(seed, name):
        trainer = supervised(datalist, tmp_path / name, seed=seed, max_epochs=1)
        trainer.run()
        return trainer.network.classifier.weight.detach().clone()

    assert torch.equal(weights(1, "a"), weights(1, "b"))
    assert not torch.equal(weights(1, "c"), weights(2, "d"))


def test_nothing_is_listed_before_the_run_and_nothing_written_on_bad_data(tmp_path):
    dataset = StackDataset(
        "abdomen", "source", "train", tmp_path / "nowhere", image_size=32, pixel_size_mm=3.2
    )
    out = tmp_path / "run"
    trainer = SupervisedTrainer(
        small_network(),
        dataset,
        settings={},
        device="cpu",
        max_epochs=1,
        batch_size=2,
        seed=0,
        output_dir=out,
        augmentation={},
    )
    with pytest.raises(DataError, match="nowhere"):
        trainer.run()
    assert not out.exists()


def test_diverging_run_says_so(datalist, tmp_path):
    with pytest.raises(SettingError, match="lower learning_rate"):
        supervised(datalist, tmp_path, learning_rate=1e30, epoch_length=20).run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 0}, "max_epochs"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"accumulate": 5}, "4 cannot be computed in 5 parts"),
        ({"augmentation": {"rotate": 3}}, "rotation_degrees"),
        ({"settings": {"los": "dice"}}, "loss"),
        ({"settings": {"loss": "dice"}}, "loss.*cannot be 'dice'"),
    ],
)
def test_wrong_settings_are_refused_by_name(datalist, tmp_path, changes, message):
    with pytest.raises(SettingError, match=message):
        supervised(datalist, tmp_path, **changes)


def test_rare_classes_are_drawn_more_often_and_each_pass_sees_all():
    import numpy as np

    presence = np.zeros((100, 2), bool)
    presence[7, 0] = True
    presence[40:90, 1] = True
    sampler = SliceSampler(100, 10, seed=0, presence=presence, rare_share=0.5)
    drawn = np.concatenate([sampler.batch(i) for i in range(400)])
    assert 0.2 < (drawn == 7).mean() < 0.3
    plain = SliceSampler(100, 10, seed=0)
    assert sorted(i for t in range(10) for i in plain.batch(t)) == list(range(100))
    assert plain.batch(3) == SliceSampler(100, 10, seed=0).batch(3)


def test_stacks_are_views_and_labels_belong_to_the_middle_slice(datalist):
    dataset = stacks(datalist)
    item = dataset[1]
    assert item["image"].shape == (3, 32, 32)
    assert item["label"].shape == (1, 32, 32)
    volume = dataset.volumes[0]
    assert item["image"].untyped_storage().data_ptr() == volume.image.untyped_storage().data_ptr()
    torch.testing.assert_close(item["image"][1], volume.image[0, 2])
    assert len(dataset) == sum(v.num_slices for v in dataset.volumes)
    assert not dataset.presence()[0].any()
    assert dataset.presence()[1].all()


def test_a_single_slice_at_once_says_what_to_do_where_batch_norm_cannot(datalist, tmp_path):
    """DeepLab pools an image to one pixel: batch norm has one value a channel then."""
    network = SegmentationNetwork(DeepLabV3VGG16(3, 5), embedding_channels=5, num_classes=5)
    trainer = SupervisedTrainer(
        network,
        stacks(datalist),
        settings={},
        device="cpu",
        max_epochs=1,
        batch_size=1,
        seed=0,
        output_dir=tmp_path,
        augmentation={},
    )
    with pytest.raises(SettingError, match="raise batch_size"):
        trainer.run()


@pytest.mark.parametrize("make", MAKERS)
def test_an_epoch_is_one_pass_through_the_slices_where_no_length_is_given(datalist, tmp_path, make):
    trainer = make(datalist, tmp_path, epoch_length=None, max_epochs=2)
    trainer.run()
    passes = -(-len(trainer.dataset) // trainer.batch_size)
    assert trainer.state.iteration == 2 * passes
    assert trainer.describe()["epoch_length"] == passes
    assert trainer.history.rows[-1][0] == 2 * passes


@pytest.mark.parametrize(("start", "kept"), [("release", False), ("random", True)])
def test_adaptation_starts_from_the_release_unless_the_ablation_keeps_random_weights(
    datalist, tmp_path, start, kept
):
    network, source = small_network(seed=1), small_network(seed=2)
    first = {name: t.clone() for name, t in network.state_dict().items()}
    AdaptationTrainer(
        network,
        stacks(datalist, "target", labels=False),
        method=create_method("sfs", {"start": start}),
        release=release(source),
        device="cpu",
        max_epochs=1,
        epoch_length=1,
        batch_size=2,
        seed=0,
        output_dir=tmp_path,
        augmentation={},
    )
    expected = first if kept else source.state_dict()
    assert all(torch.equal(network.state_dict()[name], t) for name, t in expected.items())
    assert not torch.equal(first["classifier.weight"], source.state_dict()["classifier.weight"])


@pytest.mark.parametrize("publish", ["teacher", "student"])
def test_a_mean_teacher_run_leaves_the_one_that_is_published(datalist, tmp_path, publish):
    settings = {"ema": 0.5, "confidence_threshold": 0.3, "publish": publish}
    trainer = adaptation(datalist, tmp_path, "mean_teacher", settings)
    trainer.run()
    same = [
        torch.equal(a, b)
        for a, b in zip(trainer.network.parameters(), trainer.method.teacher.parameters(), strict=True)
    ]
    assert all(same) if publish == "teacher" else not any(same)

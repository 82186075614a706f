"""Adaptation on both domains' stacks at once: what a batch holds, resuming, augmentation, refusals."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from monai_sfda import processes
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.paired import PairedAdaptationTrainer
from monai_sfda.errors import SettingError
from monai_sfda.methods import create_method
from tests.builders import release, small_network, toy_abdomen


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return toy_abdomen(tmp_path_factory.mktemp("toy"))


def stacks(datalist, domain, **options):
    return StackDataset(
        *("abdomen", domain, "train", datalist.parent),
        **({"datalist": datalist, "image_size": 32, "pixel_size_mm": 3.2} | options),
    )


def trainer(datalist, out, settings=None, **changes):
    network = small_network()
    options = {
        "method": create_method("adasource", {"learning_rate": 1e-3, "ratio_weight": 1.0} | (settings or {})),
        "target": stacks(datalist, "target", labels=False),
        "release": release(network),
        "device": "cpu",
        "max_epochs": 3,
        "epoch_length": 2,
        "batch_size": 4,
        "seed": 3,
        "output_dir": out,
        "augmentation": {"rotation_degrees": 10.0, "sign_flip": 0.0, "noise": 0.1},
    } | changes
    return PairedAdaptationTrainer(network, stacks(datalist, "source"), **options)


def test_stopped_run_goes_on_to_the_same_weights(datalist, tmp_path):
    whole = trainer(datalist, tmp_path / "whole", checkpoint_interval=1)
    whole.run()

    class StoppedError(RuntimeError):
        pass

    def stop(engine):
        if engine.state.iteration == 4:
            raise StoppedError

    first = trainer(datalist, tmp_path / "parts", checkpoint_interval=1)
    first.add_event_handler(Events.ITERATION_STARTED, stop)
    with pytest.raises(StoppedError):
        first.run()
    second = trainer(datalist, tmp_path / "parts", checkpoint_interval=1)
    second.run()
    for name, weights in whole.network.state_dict().items():
        assert torch.equal(weights, second.network.state_dict()[name]), name
    assert whole.history.rows == second.history.rows
    assert {"cross_entropy", "class_ratio"} <= {row[1] for row in whole.history.rows}


def test_source_slices_with_labels_and_other_target_slices_without(datalist, tmp_path):
    """Non-aligned, as the paper says: the two domains' places in their lists are drawn apart."""
    run = trainer(datalist, tmp_path)
    run.dataset.prepare()
    run.target.prepare()
    batches = [b for _, b in zip(range(5), run.make_loader(run.make_sampler(), 0), strict=False)]
    assert all(set(batch) == {"image", "label", "target_image"} for batch in batches)
    all_of = {
        side: torch.stack([data[i]["image"] for i in range(len(data))])
        for side, data in (("image", run.dataset), ("target_image", run.target))
    }

    def places(batch, side):
        return [int((all_of[side] == image).flatten(1).all(1).nonzero()[0]) for image in batch[side]]

    assert any(places(batch, "image") != places(batch, "target_image") for batch in batches)


def test_each_domain_has_its_own_augmentation(datalist, tmp_path):
    off = {"rotation_degrees": 0, "zoom": 0, "shift": 0, "sign_flip": 0, "noise": 0}
    run = trainer(datalist, tmp_path, target_augmentation=off)
    run.dataset.prepare()
    run.target.prepare()
    batch = next(iter(run.make_loader(run.make_sampler(), 0)))
    seen = run.augmented(batch, torch.Generator().manual_seed(0))
    assert torch.equal(seen["target_image"], batch["target_image"])
    assert not torch.equal(seen["image"], batch["image"])
    with pytest.raises(SettingError, match=r"augmentation \['roll'\] is not understood"):
        trainer(datalist, tmp_path, target_augmentation={"roll": 1.0})


def test_tags_come_with_the_target_s_slices_moved_alike(datalist, tmp_path):
    turned = {"rotation_degrees": 20.0, "zoom": 0, "shift": 0, "sign_flip": 0, "noise": 0}
    labelled = stacks(datalist, "target")
    run = trainer(
        datalist, tmp_path, {"prior": "tags"}, target=labelled, target_augmentation=turned, max_epochs=1
    )
    run.run()
    batch = next(iter(run.make_loader(run.make_sampler(), 0)))
    batch["target_image"] = batch["target_label"].float().expand(-1, 3, -1, -1)
    seen = run.augmented(batch, torch.Generator().manual_seed(1))
    moved, label = seen["target_image"][:, :1], seen["target_label"]
    assert not torch.equal(label, batch["target_label"])
    assert ((moved.round() == label) | (moved != moved.round())).all()


def test_a_run_on_other_target_scans_does_not_go_on(datalist, tmp_path):
    first, other = trainer(datalist, tmp_path), trainer(datalist, tmp_path)
    other.target.only(2)
    for run in (first, other):
        run.dataset.prepare()
        run.target.prepare()
        run.state.epoch_length = 2
    assert first.fingerprint() != other.fingerprint()


def test_several_processes_are_refused_in_plain_words(datalist, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(SettingError, match=r"AdaSource runs in one process, not 2: start uda\.json without"):
        trainer(datalist, tmp_path)

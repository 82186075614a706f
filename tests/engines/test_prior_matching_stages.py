"""The two stages of prior matching: which scans and slices they read, resuming, early stopping, refusals."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from monai_sfda import processes
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.cross_domain import SourceStageTrainer, TargetStageTrainer
from monai_sfda.engines.handlers import read_history
from monai_sfda.errors import SettingError
from monai_sfda.methods import create_method
from monai_sfda.networks import CrossDomainAutoencoder
from tests.builders import latent_network, toy_abdomen


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return toy_abdomen(tmp_path_factory.mktemp("toy"))


def stacks(datalist, domain, split="train", **options):
    return StackDataset(
        *("abdomen", domain, split, datalist.parent),
        **({"datalist": datalist, "image_size": 32, "pixel_size_mm": 3.2} | options),
    )


def options(out, statistics="target", **changes):
    torch.manual_seed(0)
    settings = {"learning_rate": 1e-3, "segmenter_statistics": statistics}
    return {
        "method": create_method("prior_matching", settings),
        "device": "cpu",
        "max_epochs": 3,
        "epoch_length": 2,
        "batch_size": 2,
        "seed": 3,
        "output_dir": out,
        "augmentation": {"rotation_degrees": 10.0, "noise": 0.1},
    } | changes


def source_stage(datalist, out, **changes):
    networks = CrossDomainAutoencoder(latent_network(), 2)
    return SourceStageTrainer(networks, stacks(datalist, "source"), **options(out, **changes))


def target_stage(datalist, out, **changes):
    networks = CrossDomainAutoencoder(latent_network(), 2)
    target = stacks(datalist, "target", labels=False)
    given = {"target": target, "validation": stacks(datalist, "source", "test")} | changes
    return TargetStageTrainer(networks, stacks(datalist, "source"), **options(out, **given))


@pytest.mark.parametrize("make", [source_stage, target_stage])
@pytest.mark.parametrize("patience", [None, 5])
def test_stopped_run_goes_on_to_the_same_weights(datalist, tmp_path, make, patience):
    changes = {"checkpoint_interval": 1} | ({"patience": patience} if make is target_stage else {})
    whole = make(datalist, tmp_path / "whole", **changes)
    whole.run()

    class StoppedError(RuntimeError):
        pass

    def stop(engine):
        if engine.state.iteration == 4:
            raise StoppedError

    first = make(datalist, tmp_path / "parts", **changes)
    first.add_event_handler(Events.ITERATION_STARTED, stop)
    with pytest.raises(StoppedError):
        first.run()
    second = make(datalist, tmp_path / "parts", **changes)
    second.run()
    for name, weights in whole.network.state_dict().items():
        assert torch.equal(weights, second.network.state_dict()[name]), name
    assert whole.history.rows == second.history.rows


def test_early_stopping_keeps_the_best_epoch_by_held_out_source_scans(datalist, tmp_path, monkeypatch):
    """By scripted scores, since no toy run overfits on command; the real score is looked at below."""
    seen, scores = {}, iter([0.2, 0.5, 0.4, 0.3, 0.9])

    def scripted(trainer):
        seen[len(seen) + 1] = {k: v.clone() for k, v in trainer.network.state_dict().items()}
        return next(scores)

    monkeypatch.setattr(TargetStageTrainer, "held_out_dice", scripted)
    changes = {"max_epochs": 8, "patience": 2, "checkpoint_interval": 1, "statistics": "training"}
    trainer = target_stage(datalist, tmp_path, **changes)
    trainer.run()
    assert trainer.state.epoch == 4
    assert trainer.best_epoch == 2
    assert all(torch.equal(seen[2][k], v) for k, v in trainer.network.state_dict().items())
    assert ("held_out_dice", 0.3) in [row[1:] for row in read_history(tmp_path)]
    again = target_stage(datalist, tmp_path, **changes)
    again.run()  # as after a kill between the last step and the results: no step more
    assert next(scores) == 0.9
    assert all(torch.equal(seen[2][k], v) for k, v in again.network.state_dict().items())


def test_held_out_dice_is_that_of_translated_source_scans(datalist, tmp_path):
    trainer = target_stage(datalist, tmp_path, max_epochs=1, patience=1, statistics="training")
    trainer.run()
    n, held_out = trainer.network.eval(), stacks(datalist, "source", "test")
    items = [held_out[i] for i in range(len(held_out))]
    label = torch.stack([item["label"] for item in items])[:, 0].long()
    with torch.no_grad():
        x_s = torch.stack([item["image"] for item in items])
        x_st = n.target_decoder(n.shared_decoder(n.posterior(n.path.encoder(x_s)).mean))
        found = n.target_path().eval()(x_st).argmax(1)
    dice = [
        2 * ((found == k) & (label == k)).sum() / ((found == k).sum() + (label == k).sum())
        for k in range(1, 5)
    ]
    assert trainer.held_out_dice() == pytest.approx(float(torch.stack(dice).mean()), abs=1e-6)


def test_statistics_are_of_the_slices_adapted_to_each_once(datalist, tmp_path):
    trainer = target_stage(datalist, tmp_path, max_epochs=1)
    trainer.run()
    batches = [*trainer.target_batches()]
    assert [len(b) for b in batches[:-1]] == [trainer.batch_size] * (len(batches) - 1)
    walked, listed = torch.cat(batches), torch.stack([i["image"] for i in trainer.target])
    assert torch.equal(walked.flatten(1).sort(0).values, listed.flatten(1).sort(0).values)
    plain = target_stage(datalist, tmp_path / "plain", max_epochs=1, statistics="training")
    plain.run()
    adapted, other = trainer.network.state_dict(), plain.network.state_dict()
    changed = {name for name in adapted if not torch.equal(adapted[name], other[name])}
    assert changed == {name for name in adapted if "running" in name or "num_batches" in name}


def test_three_slices_lie_side_by_side_in_the_middle_half(datalist, tmp_path):
    for seed in range(8):
        trainer = target_stage(datalist, tmp_path, slices=3, seed=seed)
        first, end = trainer.target_range()
        total = len(trainer.target)
        assert end - first == 3
        assert total // 4 <= first
        assert end <= 3 * total // 4 + 1
        loader = trainer.make_loader(trainer.make_sampler(), 0)
        window = torch.stack([trainer.target[i]["image"] for i in range(first, end)])
        for _, batch in zip(range(4), loader, strict=False):
            assert all((window == image).flatten(1).all(1).any() for image in batch["target_image"])


def test_one_scan_is_read_and_no_other(datalist):
    target = stacks(datalist, "target", labels=False)
    target.only(2)
    assert [case.number for case in target.list().cases] == [2]
    assert [volume.case.number for volume in target.volumes] == [2]
    with pytest.raises(SettingError, match="scan 9 cannot be chosen of 1"):
        target.only(9)


def test_refusals(datalist, tmp_path, monkeypatch):
    with pytest.raises(SettingError, match="labels, which prior matching must not read"):
        target_stage(datalist, tmp_path, target=stacks(datalist, "target"))
    with pytest.raises(SettingError, match="nothing to look at"):
        target_stage(datalist, tmp_path, validation=None, patience=3)
    with pytest.raises(SettingError, match="400 target slices cannot be taken"):
        target_stage(datalist, tmp_path, slices=400).run()
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(SettingError, match="one process, not 2"):
        source_stage(datalist, tmp_path)

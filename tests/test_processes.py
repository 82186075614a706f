"""Two processes on the CPU compute what one computes: sums, gradients, batch norm, losses, prototypes, whole
runs.
"""

from __future__ import annotations

import tempfile

import pytest
import torch
from torch import nn

from monai_sfda import processes
from monai_sfda.data.loading import share_of
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines import AdaptationTrainer, SupervisedTrainer
from monai_sfda.engines.class_ratio_regression import ClassRatioRegressorSettings, ClassRatioTrainer
from monai_sfda.engines.source_statistics import fit_prototypes
from monai_sfda.errors import DataError
from monai_sfda.losses import soft_dice_loss
from monai_sfda.methods import create_method
from monai_sfda.networks import ClassRatioRegressor, SegmentationNetwork, synchronise_batchnorm
from tests.builders import release, small_network, toy_abdomen
from tests.together import run_together

FEW_POINTS = {"points": 256, "projections": 10}
JOBS = {
    "train, Dice": ("train", {"loss": "dice_cross_entropy"}),
    "train, weighted": ("train", {"loss": "weighted_cross_entropy"}),
    "SFS, source": ("sfs", FEW_POINTS | {"class_proportions": "source"}),
    "SFS, predicted": ("sfs", FEW_POINTS | {"class_proportions": "predicted"}),
    "SFS, oracle": ("sfs", FEW_POINTS | {"class_proportions": "oracle"}),
    "MAS3, without class 0": ("mas3", FEW_POINTS | {"ignore_class_zero": True, "confidence_threshold": 0.3}),
    "AdaEnt, batches": ("adaent", {"ratio_weight": 1.0}),
    "AdaEnt, images": ("adaent", {"ratio_weight": 1.0, "ratio_over": "image"}),
    "AdaEnt, regressor": ("adaent", {"ratio_weight": 1.0, "prior": "regressor", "adam_eps": 1e-2}),
    "class-ratio regressor": ("class ratio", {"optimizer": "sgd", "learning_rate": 0.1}),
    "AdaEnt, tags": ("adaent", {"ratio_weight": 1.0, "prior": "tags"}),
    "mean teacher": ("mean_teacher", {"confidence_threshold": 0.0, "consistency": "squared_difference"}),
    "OSUDA": ("osuda", {"time_constant": 3.0, "adam_eps": 1e-2}),
    "OSUDA, mean": ("osuda", {"time_constant": 3.0, "adam_eps": 1e-2, "reduction": "mean"}),
    "Tent": ("tent", {"adam_eps": 1e-2}),
    "AdaBN": ("adabn", {}),
}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return toy_abdomen(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def bad_datalist(tmp_path_factory):
    """The last scan is an empty file."""
    path = toy_abdomen(tmp_path_factory.mktemp("bad"))
    stacks(path, "source", True).list().cases[-1].image[0].write_bytes(b"")
    return path


@pytest.fixture(scope="module")
def together(datalist, bad_datalist, tmp_path_factory):
    """What each of two processes computed, by name; all in one start, since starting takes seconds."""
    folder, temporary = tmp_path_factory.mktemp("together"), tmp_path_factory.mktemp("temporary")
    return run_together(everything, folder, datalist, bad_datalist, folder, temporary)


def everything(datalist, bad_datalist, folder, temporary):
    tempfile.tempdir = str(temporary)
    return {
        "elementary": elementary(),
        "error": failing(),
        "batchnorm": {training: batchnorm(training) for training in (True, False)},
        "dice": dice(),
        "prototypes": prototypes_of(datalist),
        "reading": reading(datalist, temporary),
        "bad scan": reading_a_bad_scan(bad_datalist),
        "jobs": {name: one_job(datalist, folder / name, *job) for name, job in JOBS.items()},
    }


def mine(rows):
    first, end = share_of(len(rows), processes.rank(), processes.count())
    return rows[first:end]


def elementary():
    rows = torch.arange(10, dtype=torch.float64).reshape(5, 2).requires_grad_()
    chosen = torch.tensor([4, 0, 3, 3])
    picked = processes.pick_rows(mine(rows), chosen)
    # The mean over processes of a value that all share has the value's own gradient, once the processes'
    # gradients are added.
    (picked.square().sum() / processes.count()).backward()
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), 1.0 + processes.rank())
    processes.add_gradients([weight])
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, processes.rank())
    processes.copy_from_first(network)
    return {
        "picked": picked.detach(),
        "gradient": rows.grad,
        "rows": processes.number_of_rows(mine(rows)),
        "place": processes.place_of_rows(mine(rows)),
        "flags": [processes.any_process(processes.rank() == 1), processes.any_process(False)],
        "gathered": processes.gather(f"from {processes.rank()}"),
        "first": processes.on_first(lambda: processes.rank()),
        "added": weight.grad,
        "copied": network.weight.detach(),
    }


def test_elementary_operations(together):
    alone = elementary()
    first, second = (process["elementary"] for process in together)
    for name in ("picked", "rows"):
        assert torch.equal(torch.as_tensor(first[name]), torch.as_tensor(alone[name]))
        assert torch.equal(torch.as_tensor(second[name]), torch.as_tensor(alone[name]))
    assert torch.equal(first["gradient"] + second["gradient"], alone["gradient"])
    assert (first["place"], second["place"]) == ((0, 5), (3, 5))
    assert first["flags"] == second["flags"] == [True, False]
    assert alone["flags"] == [False, False]
    assert first["gathered"] == second["gathered"] == ["from 0", "from 1"]
    assert first["first"] == second["first"] == 0
    assert torch.equal(first["added"], torch.full((3,), 3.0))
    assert not second["copied"].any()


def failing():
    def fail():
        raise DataError("a scan is bad", remedy="mend it", path="scan.nii.gz", root="/data")

    try:
        processes.on_first(fail)
    except DataError as error:
        return str(error)


def test_every_process_gets_the_first_ones_error(together):
    assert [process["error"] for process in together] == ["a scan is bad in scan.nii.gz: mend it"] * 2


def batchnorm(training):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.ReLU()).double()
    network.train(training)
    names = list(network.state_dict())
    synchronise_batchnorm(network)
    assert list(network.state_dict()) == names
    x = (torch.randn(5, 3, 6, 7, dtype=torch.float64) + 2).requires_grad_()
    out = network.float()(mine(x).float())
    (out.double() ** 2).sum().backward()
    processes.add_gradients(network.parameters())
    return {
        "out": torch.cat(processes.gather(out.detach())),
        "state": network.state_dict(),
        "gradients": [p.grad for p in network.parameters()],
        "input": sum(processes.gather(x.grad)),
    }


@pytest.mark.parametrize("training", [True, False])
def test_batchnorm_takes_the_statistics_of_all(together, training):
    """5 images on two processes (3 and 2) against torch's batch norm on one."""
    alone = batchnorm(training)
    for process in together:
        result = process["batchnorm"][training]
        torch.testing.assert_close(result["out"], alone["out"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(dict(result["state"]), dict(alone["state"]), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(result["gradients"], alone["gradients"], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(result["input"], alone["input"], rtol=1e-4, atol=1e-4)


def dice():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 4, 6, 6, generator=generator, dtype=torch.float64).requires_grad_()
    label = torch.randint(0, 4, (5, 1, 6, 6), generator=generator)
    loss = soft_dice_loss(mine(logits), mine(label))
    (loss / processes.count()).backward()
    return loss.detach(), sum(processes.gather(logits.grad))


def test_soft_dice_is_monais_and_that_of_all(together):
    from monai.losses import DiceLoss

    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 4, 6, 6, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 4, (5, 1, 6, 6), generator=generator)
    monai = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    alone = dice()
    torch.testing.assert_close(alone[0], monai(logits, label), rtol=1e-10, atol=0)
    for loss, gradient in (process["dice"] for process in together):
        torch.testing.assert_close(loss, alone[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient, alone[1], rtol=1e-10, atol=1e-14)


def stacks(datalist, domain, labels):
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


def small_regressor():
    torch.manual_seed(1)
    return ClassRatioRegressor(3, 5, "resnet10", width=4)


def one_job(datalist, out, kind, settings):
    """A short run; the network has batch norm and no dropout, whose draws differ between processes."""
    torch.manual_seed(0)
    network: SegmentationNetwork = small_network()
    network.dropout.p = 0.0
    options = {
        "device": "cpu",
        "max_epochs": 1,
        "epoch_length": 4,
        "batch_size": 5,
        "seed": 3,
        "output_dir": out,
        "augmentation": {"rotation_degrees": 10.0, "noise": 0.1, "sign_flip": 0.5, "gamma": 0.2},
    }
    if kind == "class ratio":
        network = small_regressor()
        options = {key: value for key, value in options.items() if key not in ("max_epochs", "epoch_length")}
        lasting = ClassRatioRegressorSettings(max_epochs=1, epoch_length=4, **settings)
        trainer = ClassRatioTrainer(
            network, settings=lasting, dataset=stacks(datalist, "source", True), **options
        )
    elif kind == "train":
        trainer = SupervisedTrainer(network, stacks(datalist, "source", True), settings=settings, **options)
    else:
        method = create_method(kind, settings)
        trainer = AdaptationTrainer(
            network,
            stacks(datalist, "target", bool(method.target_labels_read)),
            method=method,
            release=release(small_network(), class_ratio_regressor=small_regressor()),
            learning_rate=1e-4 if method.takes_steps else None,
            **options,
        )
    trainer.history.interval = 1
    trainer.run()
    weights = {name: t.clone() for name, t in network.state_dict().items()}
    return {
        "rows": trainer.history.rows,
        "weights": weights,
        "fingerprint": trainer.fingerprint(),
    }


def without_idle_biases(weights):
    """Without biases in front of a batch norm, whose gradient is rounding that Adam scales to a step."""
    return {name: value for name, value in weights.items() if not name.endswith(".conv.bias")}


@pytest.mark.parametrize("name", JOBS)
def test_two_processes_compute_the_losses_of_one(datalist, together, tmp_path, name):
    alone = one_job(datalist, tmp_path, *JOBS[name])
    assert len(alone["rows"]) >= 4 or name == "AdaBN"
    results = [process["jobs"][name] for process in together]
    for result in results:
        assert [row[:2] for row in result["rows"]] == [row[:2] for row in alone["rows"]]
        for here, there in zip(result["rows"], alone["rows"], strict=True):
            assert here[2] == pytest.approx(there[2], rel=2e-4, abs=1e-6), there
        here, there = (without_idle_biases(one["weights"]) for one in (result, alone))
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4)
        assert result["fingerprint"] == alone["fingerprint"]
    for a, b in zip(results[0]["weights"].values(), results[1]["weights"].values(), strict=True):
        assert torch.equal(a, b)


def prototypes_of(datalist):
    torch.manual_seed(0)
    network = small_network()
    fit = fit_prototypes(
        network, stacks(datalist, "source", True), device="cpu", batch_size=4, rho=0.0
    ).finish(minimum_pixels=2)
    return [fit.weight, fit.mean, fit.covariance, fit.count, fit.pixel_share, fit.subjects]


def test_two_processes_fit_the_prototypes_of_one(datalist, together):
    alone = prototypes_of(datalist)
    first, second = (process["prototypes"] for process in together)
    for a, b, c in zip(alone, first, second, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)
        assert torch.equal(b, c)


def reading(datalist, folder):
    dataset = stacks(datalist, "source", True)
    dataset.prepare()
    processes.wait_for_all()
    left = [path.name for path in folder.iterdir()]
    processes.wait_for_all()  # the next job makes files of its own
    return {
        "digest": dataset.digest(),
        "left": left,
        "subjects": [dataset.subject_of(i) for i in range(len(dataset))],
    }


def test_processes_share_the_scans_and_leave_no_file(datalist, together):
    dataset = stacks(datalist, "source", True)
    for process in together:
        assert process["reading"]["digest"] == dataset.digest()
        assert process["reading"]["subjects"] == [dataset.subject_of(i) for i in range(len(dataset))]
        assert process["reading"]["left"] == []


def reading_a_bad_scan(datalist):
    try:
        stacks(datalist, "source", True).prepare()
    except DataError as error:
        return str(error)


def test_a_bad_scan_stops_every_process_with_the_same_words(bad_datalist, together):
    alone = reading_a_bad_scan(bad_datalist)
    assert "empty" in alone
    assert [process["bad scan"] for process in together] == [alone, alone]

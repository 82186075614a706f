"""The signals of a network on scans: against whole-volume computations, whatever batches and padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from torch.nn import functional

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.candidate_signals import SourceKnowledge, signals_of_scans
from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.engines.reference_scans import reference_of_scans
from monai_sfda.engines.source_statistics import fit_atlas
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.methods import METHODS
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.transforms import all_stacks
from tests.builders import release, small_network, toy_abdomen

CPU = torch.device("cpu")
NOTHING = SourceKnowledge(None, None, None)
WITHOUT_SOURCE = {
    *("entropy", "confidence", "soft_dice", "soft_dice_worst", "density", "density_balanced"),
    *("agreement", "agreement_soft", "agreement_worst", "agreement_rotation", "agreement_zoom"),
    *("agreement_contrast", "agreement_noise", "agreement_ramp"),
    *("components", "largest_component", "continuity", "edges", "vanished", "batchnorm"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    toy_abdomen(folder)
    return folder


def dataset(folder, size: int | tuple[int, int] = 32, domain: str = "target") -> StackDataset:
    return StackDataset(
        "abdomen",
        domain,
        "train",
        folder,
        datalist=folder / "datalist.json",
        labels=domain == "source",
        image_size=size,
        pixel_size_mm=3.2,
    )


def network() -> SegmentationNetwork:
    """Random weights, with every class predicted somewhere, more or less surely."""
    found = small_network().eval()
    with torch.no_grad():
        found.classifier.weight *= 8
    return found


def look(found, data, knowledge=NOTHING, **options):
    given = {"device": CPU, "batch_size": 4, "seed": 0} | options
    return signals_of_scans(found, data, range(len(data.volumes)), knowledge, **given)


@pytest.fixture(scope="module")
def data(folder):
    return dataset(folder)


@pytest.fixture(scope="module")
def known(folder, data) -> SourceKnowledge:
    """All that a release may hold: the source here has the target's scans."""
    reference = reference_of_scans(
        data.list().cases,
        data.task,
        "target",
        network(),
        data.preprocessing,
        SliceStackInferer(3),
        CPU,
        scans="training",
    )
    labelled = dataset(folder, domain="source")
    return SourceKnowledge.of(
        release(network(), reference_scans=reference.to_json(), atlas=fit_atlas(labelled))
    )


def test_certainty_against_the_whole_volume_at_once(data):
    volume = data.volumes[0]
    rows, columns = volume.field_of_view
    stacks = all_stacks(volume.image, 3)
    with torch.inference_mode():
        p = network()(stacks).softmax(1)[:, :, rows, columns].double()
    values = look(network(), data)[0].values
    assert values["entropy"] == pytest.approx(float(-(p * p.log()).sum(1).mean()), rel=1e-5)
    mask = functional.one_hot(p.argmax(1), 5).movedim(-1, 1)
    assert bool((mask.sum((0, 2, 3)) > 0).all())
    assert values["confidence"] == pytest.approx(float(p.max(1).values[p.argmax(1) > 0].mean()), rel=1e-5)
    dice = (2 * (p * mask).sum((0, 2, 3)) / (p + mask).sum((0, 2, 3)))[1:]
    assert values["soft_dice"] == pytest.approx(float(dice.mean()), rel=1e-5)
    assert values["soft_dice_worst"] == pytest.approx(float(dice.min()), rel=1e-5)
    shares = look(network(), data)[0].shares
    assert list(shares.values()) == pytest.approx((mask.sum((0, 2, 3)) / mask.sum())[1:].tolist())


def test_every_value_is_a_known_signal_and_a_finite_number(data, known):
    beside = [scan.segmentation for scan in look(network(), data)]
    for scan in look(network(), data, known, beside=beside):
        assert scan.values.keys() == SIGNALS.keys() - {"agreement_mirror"}
        assert all(np.isfinite(value) for value in scan.values.values())


def test_what_the_release_lacks_is_absent(data):
    for scan in look(network(), data):
        assert scan.values.keys() == WITHOUT_SOURCE


def test_the_batch_size_does_not_matter(data, known):
    one, many = (look(network(), data, known, batch_size=size) for size in (1, 16))
    for a, b in zip(one, many, strict=True):
        assert a.values == pytest.approx(b.values, rel=1e-4, abs=1e-6)
        np.testing.assert_array_equal(a.segmentation, b.segmentation)


def test_the_same_seed_gives_the_same_values(data, known):
    first, second, other = (look(network(), data, known, seed=seed)[0].values for seed in (3, 3, 4))
    assert first == second
    moved = {name for name in first if first[name] != other[name]}
    assert moved <= {
        *("density", "density_balanced", "swd", "mahalanobis"),
        *("agreement_noise", "agreement", "agreement_soft", "agreement_worst"),
    }
    assert {"density", "swd", "agreement_soft"} <= moved


def test_padding_changes_little_and_is_not_counted(folder, data):
    """A network that sees no neighbours: with padding all that is counted stays as it was."""
    torch.manual_seed(0)
    alone = SegmentationNetwork(torch.nn.Conv2d(3, 4, 1), embedding_channels=4, num_classes=5)
    with torch.no_grad():
        alone.classifier.weight *= 5
    plain, padded = (look(alone, d)[0] for d in (data, dataset(folder, 48)))
    same = ["entropy", "confidence", "soft_dice", "components", "largest_component", "continuity", "edges"]
    same += ["agreement_contrast", "density", "vanished"]
    for name in same:
        assert padded.values[name] == pytest.approx(plain.values[name], rel=1e-5), name
    assert padded.shares == pytest.approx(plain.shares)


def test_slices_larger_than_the_stacks_are_judged_by_what_is_seen(folder, known):
    cut = dataset(folder, (16, 16))
    assert cut.volumes[0].is_cut
    scan = look(network(), cut, known)[0]
    assert scan.segmentation.shape[1:] == (16, 16)
    assert "volumes" in scan.values


def test_a_network_that_sees_nothing_has_no_agreement(data, known):
    nothing = network()
    with torch.no_grad():
        nothing.classifier.bias[0] = 1e4
    values = look(nothing, data, known)[0].values
    assert values["vanished"] == 4
    absent = {"agreement", "soft_dice", "confidence", "components", "continuity", "edges", "places"}
    assert not absent & values.keys()
    assert values["volumes"] > look(network(), data, known)[0].values["volumes"]


def test_beside_another_model(data):
    first = look(network(), data)
    same = look(network(), data, beside=[scan.segmentation for scan in first])
    assert all(scan.values["changed"] == 0 and scan.values["beside_dice"] == 1 for scan in same)
    other = small_network(seed=5).eval()
    found = look(other, data, beside=[scan.segmentation for scan in first])
    for a, b, volume in zip(found, first, data.volumes, strict=True):
        rows, columns = volume.field_of_view
        masks = [torch.from_numpy(scan.segmentation[:, rows, columns]).long() for scan in (a, b)]
        assert a.values["changed"] == pytest.approx(float((masks[0] != masks[1]).float().mean()))
        one_hot = [functional.one_hot(m.flatten(), 5).T[None] for m in masks]
        dice = compute_dice(*one_hot, include_background=False, ignore_empty=False)[0]
        shown = (one_hot[0].sum(-1) + one_hot[1].sum(-1))[0, 1:] > 0
        assert a.values["beside_dice"] == pytest.approx(float(dice[shown].mean()), rel=1e-5)


def test_six_forward_passes_a_slice(data):
    found, seen = network(), []
    found.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    look(found, data)
    assert sum(seen) == 6 * len(data)


def test_a_sharper_and_steadier_network_agrees_more_with_itself(data):
    """One that thresholds the scan beside one of random weights."""
    steady = SegmentationNetwork(
        torch.nn.AvgPool3d((3, 1, 1), (3, 1, 1)), embedding_channels=1, num_classes=5
    )
    with torch.no_grad():
        steady.classifier.weight[:] = torch.tensor([-30.0, 30, -99, -99, -99]).reshape(5, 1, 1, 1)
        steady.classifier.bias[:] = torch.tensor([20.0, -20, -99, -99, -99])
    good, bad = (look(n, data)[0].values for n in (steady, network()))
    for name in ("agreement", "agreement_soft", "agreement_rotation", "continuity", "soft_dice", "edges"):
        assert good[name] > bad[name], name
    assert good["entropy"] < bad["entropy"]


def test_nothing_stays_hooked(data):
    found = network()
    look(found, data)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in found.modules())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_methods_name_known_signals(method):
    assert method.optimises <= SIGNALS.keys()
    assert "vanished" not in method.optimises

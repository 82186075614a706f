"""What is said of the target without labels: volumes, entropy, class ratios, a fair sample of pixels."""

from __future__ import annotations

import io

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.before_after import compare_on_target, evenly_spaced
from monai_sfda.engines.pixel_sample import PixelSample
from monai_sfda.engines.signals import survey_target
from monai_sfda.networks import SegmentationNetwork
from tests.builders import prototypes, small_network, write_nifti
from tests.transforms.test_geometry import affine_of, oblique

CPU = torch.device("cpu")


class BrightIsLiver(torch.nn.Module):
    """Embedding (x, 0, ...) of the middle slice's intensity x."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x[:, x.shape[1] // 2]
        return torch.stack([middle, *[torch.zeros_like(middle)] * 3], dim=1)


def liver_where_bright(threshold: float = 0.0) -> SegmentationNetwork:
    network = SegmentationNetwork(BrightIsLiver(), embedding_channels=4, num_classes=5)
    with torch.no_grad():
        network.classifier.weight.zero_()
        network.classifier.bias.copy_(torch.tensor([0.0, -threshold * 50, -1e4, -1e4, -1e4]))
        network.classifier.weight[1, 0] = 50.0
    return network


def stacks(folder, image_size, pixel_size_mm) -> StackDataset:
    return StackDataset(
        "abdomen", "target", "train", folder, images=folder, labels=False,
        image_size=image_size, pixel_size_mm=pixel_size_mm,
    )  # fmt: skip


def block_scan(folder, affine):
    """A bright block of 12 x 10 x 4 voxels in 40 x 36 x 6, near a corner of the plane."""
    array = np.full((40, 36, 6), -100.0, np.float32)
    array[2:14, 3:13, 1:5] = 200.0
    array += np.random.default_rng(0).normal(0, 5, array.shape).astype(np.float32)
    return write_nifti(folder / "scan.nii.gz", array, affine)


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("image_size", [40, 48, 64])
def test_volumes_are_voxels_times_their_size(tmp_path, tilted, image_size):
    affine = affine_of("RAS", (2.0, 2.0, 5.0))
    block_scan(tmp_path, oblique(affine) if tilted else affine)
    dataset = stacks(tmp_path, image_size, None)
    survey = survey_target(liver_where_bright(), dataset, CPU, 4)
    assert survey.volumes_ml[1] == pytest.approx(
        {"liver": 12 * 10 * 4 * 0.02, "right_kidney": 0, "left_kidney": 0, "spleen": 0}
    )
    assert not dataset.volumes[0].is_cut


@pytest.mark.parametrize("pixel_size_mm", [None, 3.2, 1.3])
def test_padding_has_no_volume_and_resampling_keeps_the_scans(tmp_path, pixel_size_mm):
    path = block_scan(tmp_path, affine_of("LPS", (2.0, 2.3, 5.0)))
    everywhere = liver_where_bright(threshold=-1e3)
    survey = survey_target(everywhere, stacks(tmp_path, 96, pixel_size_mm), CPU, 4)
    scan = nib.load(path)
    whole = abs(np.linalg.det(scan.affine[:3, :3])) * np.prod(scan.shape) / 1000
    assert survey.volumes_ml[1]["liver"] == pytest.approx(whole, rel=1e-9)


def test_what_is_cut_off_is_not_counted_and_the_record_says_so(tmp_path):
    block_scan(tmp_path, affine_of("RAS", (2.0, 2.0, 5.0)))
    network = liver_where_bright()
    dataset = stacks(tmp_path, 32, None)
    found = compare_on_target(network, network, dataset, prototypes(), device=CPU, batch_size=4, seed=0)
    assert found.record["volumes_cut_cases"] == [1]
    # 32 of 40 by 36 pixels are kept: 4 and 2 are lost at each side, the block begins at 2 and 3
    expected = 10 * 10 * 4 * 0.02
    assert found.record["volumes_ml"]["before"]["1"]["liver"] == pytest.approx(expected)
    assert found.record["volumes_ml"]["after"] == found.record["volumes_ml"]["before"]
    assert [p.name for p in found.pictures] == ["case_001", "embedding"]
    assert "A1" in found.pictures[0].caption
    assert all(p.png.startswith(b"\x89PNG") for p in found.pictures)


@pytest.mark.parametrize("chosen", ["unadapted", "epoch_0004", "last"])
def test_a_published_checkpoint_stands_between_before_and_after(tmp_path, chosen):
    for name in "ab":
        block_scan(tmp_path / name, affine_of("RAS", (2.0, 2.0, 5.0)))
    before, middle, after = (liver_where_bright(threshold) for threshold in (-1e3, 0.0, 1e3))
    found = compare_on_target(
        before,
        after,
        stacks(tmp_path, 48, None),
        None,
        device=CPU,
        batch_size=4,
        seed=0,
        chosen=chosen,
        published=middle if chosen == "epoch_0004" else None,
        guard_scans=[2],
    )
    liver = {moment: ml["1"]["liver"] for moment, ml in found.record["volumes_ml"].items()}
    if chosen == "epoch_0004":
        assert liver["before"] > liver["published"] > liver["after"] == 0
        assert list(found.record["signals"]) == ["before", "published", "after"]
    else:
        assert list(liver) == list(found.record["signals"]) == ["before", "after"]
    assert ["kept from the method" in p.caption for p in found.pictures] == [False, True]
    width = matplotlib.image.imread(io.BytesIO(found.pictures[0].png)).shape[1]
    plain = compare_on_target(
        before, after, stacks(tmp_path, 48, None), None, device=CPU, batch_size=4, seed=0
    )
    columns = matplotlib.image.imread(io.BytesIO(plain.pictures[0].png)).shape[1]
    assert (width > columns) == (chosen == "epoch_0004")


def test_entropy_and_ratios_are_means_over_all_pixels_of_all_slices(tmp_path):
    for name in "ab":
        block_scan(tmp_path / name, affine_of("RAS", (2.0, 2.0, 5.0)))
    dataset, network = stacks(tmp_path, 48, None), small_network().eval()
    survey = survey_target(network, dataset, CPU, 5, keep=[1])
    with torch.inference_mode():
        logits = network(torch.stack([dataset[i]["image"] for i in range(len(dataset))]))
    reference = torch.distributions.Categorical(logits=logits.movedim(1, -1))
    assert survey.entropy == pytest.approx(float(reference.entropy().mean()), rel=1e-5)
    assert list(survey.class_ratio.values()) == pytest.approx(
        reference.probs.mean(dim=(0, 1, 2)).tolist(), rel=1e-5
    )
    assert list(survey.segmentations) == [1]
    np.testing.assert_array_equal(survey.segmentations[1], logits.argmax(1)[6:].numpy())
    with torch.inference_mode():
        classes = network.classify(torch.tensor(survey.embeddings).float()[..., None, None]).argmax(1)
    np.testing.assert_array_equal(classes.flatten().numpy(), survey.classes)


def test_a_sample_is_fair_and_the_same_for_networks_that_agree():
    places = torch.arange(4000.0).reshape(4, 1, 20, 50)
    classes = (places[:, 0] % 4 == 0).long()
    kept = []
    for seed in range(20):
        samples = [PixelSample(3, 30, seed) for _ in range(2)]
        for sample in samples:
            for image in range(4):
                sample.update(places[image : image + 1], classes[image : image + 1])
        (z, k), (again, _) = (sample.result() for sample in samples)
        assert torch.equal(z, again)
        assert k.tolist() == [0] * 30 + [1] * 30
        assert torch.equal((z[:, 0] % 4 == 0).long(), k)
        assert len(set(z[:, 0].tolist())) == 60
        kept.append(z[:, 0])
    mean = float(torch.stack(kept).mean())
    standard_error = 4000 / 12**0.5 / (20 * 60) ** 0.5
    assert abs(mean - 2000) < 4 * standard_error


def test_scans_to_show_are_spread_over_the_list():
    assert evenly_spaced(9, 3) == [0, 4, 8]
    assert evenly_spaced(2, 3) == [0, 1]
    assert evenly_spaced(1, 3) == [0]

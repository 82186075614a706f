"""Class prototypes against NumPy in float64, merging, sampling, few pixels, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.prototype_fit import PrototypeFit, oas_covariance
from monai_sfda.prototypes import Prototypes

K, D = 3, 4


def pixels(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings far from zero (so that naive sums of squares lose digits), probabilities and labels."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, K, (n,), generator=generator)
    z = torch.randn(n, D, generator=generator) * 0.3 + 100 + 2 * label[:, None]
    logits = torch.randn(n, K, generator=generator)
    logits[torch.arange(n), label] += 5
    return z, logits.softmax(1), label


def reference(z: torch.Tensor, p: torch.Tensor, label: torch.Tensor, rho: float, k: int):
    confidence, predicted = p.max(1)
    keep = ((label == k) & (predicted == k) & (confidence > rho)).numpy()
    points = z.numpy().astype(np.float64)[keep]
    return keep.sum(), points.mean(0), np.cov(points, rowvar=False)


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.97])
def test_one_pass_fit_equals_numpy_in_float64(rho):
    z, p, label = pixels(20_000)
    fit = PrototypeFit(K, D, rho)
    for part in range(0, len(z), 777):
        fit.update(
            z[part : part + 777], p[part : part + 777], label[part : part + 777], subject=str(part % 3)
        )
    prototypes = fit.finish()
    counts = [reference(z, p, label, rho, k)[0] for k in range(K)]
    for k in range(K):
        n, mean, covariance = reference(z, p, label, rho, k)
        assert int(prototypes.count[k]) == n
        assert float(prototypes.weight[k]) == pytest.approx(n / sum(counts), rel=1e-12)
        np.testing.assert_allclose(prototypes.mean[k].numpy(), mean, rtol=1e-6)
        np.testing.assert_allclose(
            prototypes.covariance[k].numpy(), covariance, rtol=1e-6, atol=1e-6 * covariance.max()
        )
    assert prototypes.warnings == ()


def test_merged_shards_equal_one_fit():
    z, p, label = pixels(9_000)
    whole, merged = PrototypeFit(K, D), PrototypeFit(K, D)
    whole.update(z, p, label, "a")
    for shard in range(3):
        part = PrototypeFit(K, D)
        part.update(z[shard::3], p[shard::3], label[shard::3], "abc"[shard])
        merged.merge(part)
    one, other = whole.finish(), merged.finish()
    assert torch.equal(one.count, other.count)
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-10, atol=0)
    torch.testing.assert_close(one.covariance, other.covariance, rtol=1e-8, atol=1e-12)
    assert other.subjects.tolist() == [3, 3, 3]


def test_fits_of_other_settings_do_not_merge():
    with pytest.raises(SettingError, match="cannot be merged"):
        PrototypeFit(K, D, 0.9).merge(PrototypeFit(K, D, 0.8))


def test_class_with_few_confident_pixels_takes_a_lower_threshold_and_says_so():
    z, p, label = pixels(5_000)
    hesitant = label == 2
    p[hesitant] = torch.tensor([0.05, 0.05, 0.9])
    fit = PrototypeFit(K, D, rho=0.97)
    fit.update(z, p, label, "a")
    prototypes = fit.finish()
    assert float(prototypes.threshold[2]) == 0.8
    assert float(prototypes.threshold[0]) == 0.97
    assert any("class 2" in w and "0.8" in w for w in prototypes.warnings)
    assert int(prototypes.count[2]) == int(hesitant.sum())


def test_absent_class_is_left_out_and_never_sampled():
    z, p, label = pixels(3_000)
    keep = label != 1
    fit = PrototypeFit(K, D)
    fit.update(z[keep], p[keep], label[keep], "a")
    prototypes = fit.finish()
    assert prototypes.available.tolist() == [True, False, True]
    assert any("class 1" in w and "left out" in w for w in prototypes.warnings)
    named = fit.finish(names=["background", "liver", "spleen"])
    assert any("class 1 (liver)" in w and "left out" in w for w in named.warnings)
    _, classes = prototypes.sample(1_000, torch.ones(K))
    assert set(classes.tolist()) == {0, 2}


def test_class_of_too_few_subjects_is_not_released():
    z, p, label = pixels(3_000)
    fit = PrototypeFit(K, D)
    fit.update(z, p, label, "only one")
    with pytest.raises(ReleaseError):
        fit.finish(minimum_subjects=2)


def of_subjects(subjects: str, change=None, rho: float = 0.97) -> PrototypeFit:
    """A fit with 3000 pixels of each subject; `change` may alter (subject, probabilities, label)."""
    fit = PrototypeFit(K, D, rho)
    for seed, subject in enumerate(subjects):
        z, p, label = pixels(3_000, seed)
        keep = torch.ones(len(label), dtype=torch.bool) if change is None else change(subject, p, label)
        fit.update(z[keep], p[keep], label[keep], subject)
    return fit


def test_a_class_of_one_subject_is_as_one_that_nobody_has():
    """Not a number of the release tells whether one subject has the class, or what he has of it."""

    def only_a(subject, p, label):
        return (label != 1) | torch.tensor(subject == "a")

    one = of_subjects("abcd", only_a).finish(minimum_subjects=3)
    none = of_subjects("abcd", lambda subject, p, label: label != 1).finish(minimum_subjects=3)
    for name in ("weight", "mean", "covariance", "count", "pixel_share", "subjects"):
        assert torch.equal(getattr(one, name), getattr(none, name)), name
    assert one.warnings == none.warnings
    assert one.subjects.tolist() == [4, 0, 4]
    assert float(one.pixel_share.sum()) == pytest.approx(1)


def test_subjects_whose_pixels_are_not_in_the_gaussian_do_not_count():
    """All four have the class, but only one is segmented right above rho: the next threshold has all."""

    def hesitant_but_a(subject, p, label):
        if subject != "a":
            p[label == 2] = torch.tensor([0.05, 0.05, 0.9])
        return torch.ones(len(label), dtype=torch.bool)

    found = of_subjects("abcd", hesitant_but_a).finish(minimum_subjects=3)
    assert float(found.threshold[2]) == 0.8
    assert found.subjects.tolist() == [4, 4, 4]
    assert any("class 2" in w and "0.8 used" in w for w in found.warnings)


def test_a_class_that_is_segmented_right_in_one_subject_is_left_out():
    def wrong_but_a(subject, p, label):
        if subject != "a":
            p[label == 2] = torch.tensor([0.98, 0.01, 0.01])
        return torch.ones(len(label), dtype=torch.bool)

    found = of_subjects("abcd", wrong_but_a).finish(minimum_subjects=3)
    assert found.available.tolist() == [True, True, False]
    assert (found.subjects.tolist(), found.count.tolist()[2]) == ([4, 4, 0], 0)
    assert any("class 2" in w and "fewer than 3 subjects" in w for w in found.warnings)


def test_a_class_that_is_nearly_all_one_subjects_is_left_out():
    def few_but_a(subject, p, label):
        keep = torch.ones(len(label), dtype=torch.bool)
        if subject != "a":
            keep[(label == 1).nonzero()[20:, 0]] = False
        return keep

    assert of_subjects("abcd", few_but_a).finish(minimum_subjects=3).available.tolist() == [True, False, True]
    assert of_subjects("abcd", few_but_a).finish().available.all()


def test_few_pixels_get_a_shrunk_covariance_that_can_be_inverted():
    z, p, label = pixels(30)
    fit = PrototypeFit(K, D, rho=0.0)
    fit.update(z, p, label, "a")
    prototypes = fit.finish(minimum_pixels=3)
    assert float(torch.linalg.eigvalsh(prototypes.covariance[0]).min()) > 0
    assert any("shrunk" in w for w in prototypes.warnings)


def test_oas_keeps_the_trace_and_a_large_sample():
    sample = torch.randn(5, 5, dtype=torch.float64)
    covariance = sample @ sample.T
    assert float(oas_covariance(covariance, 5).trace()) == pytest.approx(float(covariance.trace()))
    torch.testing.assert_close(oas_covariance(covariance, 10**9), covariance, rtol=1e-6, atol=1e-6)


def test_samples_have_the_gaussians_moments_and_the_asked_proportions():
    z, p, label = pixels(20_000)
    fit = PrototypeFit(K, D)
    fit.update(z, p, label, "a")
    prototypes = fit.finish()
    asked = torch.tensor([0.7, 0.2, 0.1])
    generator = torch.Generator().manual_seed(1)
    points, classes = prototypes.sample(200_000, asked, generator=generator, dtype=torch.float64)
    shares = torch.bincount(classes, minlength=K) / len(classes)
    torch.testing.assert_close(shares, asked, rtol=0, atol=1e-5)
    for k in range(K):
        of_class = points[classes == k].numpy()
        standard_error = np.sqrt(np.diag(prototypes.covariance[k].numpy()) / len(of_class))
        assert (np.abs(of_class.mean(0) - prototypes.mean[k].numpy()) < 5 * standard_error).all()
        np.testing.assert_allclose(
            np.cov(of_class, rowvar=False), prototypes.covariance[k].numpy(), atol=0.005
        )


def test_same_generator_same_samples():
    z, p, label = pixels(3_000)
    fit = PrototypeFit(K, D)
    fit.update(z, p, label, "a")
    prototypes = fit.finish()
    first = prototypes.sample(64, generator=torch.Generator().manual_seed(5))
    second = prototypes.sample(64, generator=torch.Generator().manual_seed(5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_file_round_trip_and_damage(tmp_path):
    z, p, label = pixels(3_000)
    fit = PrototypeFit(K, D)
    fit.update(z[label != 1], p[label != 1], label[label != 1], "a")
    prototypes = fit.finish()
    prototypes.save(tmp_path / "p.safetensors")
    back = Prototypes.load(tmp_path / "p.safetensors")
    assert torch.equal(back.covariance, prototypes.covariance)
    assert (back.rho, back.warnings) == (prototypes.rho, prototypes.warnings)
    (tmp_path / "p.safetensors").write_bytes((tmp_path / "p.safetensors").read_bytes()[:100])
    with pytest.raises(ReleaseError, match=r"p\.safetensors"):
        Prototypes.load(tmp_path / "p.safetensors")

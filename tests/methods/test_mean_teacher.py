"""Mean teacher: average of weights and losses against numbers computed apart in float64, who learns what."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import softmax

from monai_sfda.methods import create_method
from tests.builders import release, small_network

PLAIN = {"student_noise": 0.0, "student_gamma": 0.0}


def set_up(**settings):
    network = small_network().double()
    method = create_method("mean_teacher", settings)
    method.setup(network, release(network))
    method.set_mode()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(1.5)  # a student that has left its teacher
    return network, method


def image(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step(method, x=None):
    return method.step({"image": image() if x is None else x}, torch.Generator().manual_seed(0))


def probabilities(network, x) -> np.ndarray:
    with torch.no_grad():
        return softmax(copy.deepcopy(network)(x).numpy(), axis=1)


def test_teacher_is_the_exponential_average_of_the_students_weights():
    """theta'_n = alpha^n theta'_0 + (1 - alpha) sum_t alpha^(n - t) theta_t, in closed form."""
    network, method = set_up(ema=0.9)
    expected = [0.9**5 * p.clone() for p in method.teacher.parameters()]
    for t in range(1, 6):
        with torch.no_grad():
            for p in network.parameters():
                p.add_(0.1 * t)
        method.after_step()
        for sum_so_far, p in zip(expected, network.parameters(), strict=True):
            sum_so_far += 0.1 * 0.9 ** (5 - t) * p.detach()
    torch.testing.assert_close(list(method.teacher.parameters()), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("threshold", [0.0, 0.25])
def test_cross_entropy_counts_confident_pixels_over_all_pixels(threshold):
    network, method = set_up(confidence_threshold=threshold, **PLAIN)
    taught, p = probabilities(method.teacher, image()), probabilities(network, image())
    confidence, predicted = taught.max(1), taught.argmax(1)
    sure = confidence > threshold
    assert 0 < sure.mean() <= 1
    assert (sure.mean() < 1) == (threshold > 0)
    of_prediction = np.take_along_axis(p, predicted[:, None], axis=1)[:, 0]
    expected = np.where(sure, -np.log(of_prediction), 0).mean()
    assert float(step(method)["consistency"]) == pytest.approx(expected, rel=1e-12)
    assert method.signals()["confident"] == pytest.approx(sure.mean(), rel=1e-12)


def test_squared_difference_is_frenchs():
    network, method = set_up(confidence_threshold=0.25, consistency="squared_difference", **PLAIN)
    taught, p = probabilities(method.teacher, image()), probabilities(network, image())
    expected = np.where(taught.max(1) > 0.25, ((p - taught) ** 2).mean(1), 0).mean()
    assert float(step(method)["consistency"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("consistency", ["cross_entropy", "squared_difference"])
def test_gradient_is_that_of_finite_differences(consistency):
    method = set_up(confidence_threshold=0.3, consistency=consistency, **PLAIN)[1]
    generator = torch.Generator().manual_seed(0)
    taught = torch.randn(2, 5, 2, 2, generator=generator, dtype=torch.float64)
    method.teacher = lambda x: taught

    def loss(logits):
        method.network = lambda x: logits
        return step(method, logits)["consistency"]

    logits = torch.randn(2, 5, 2, 2, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_an_unsure_teacher_teaches_nothing():
    network, method = set_up(confidence_threshold=0.999)
    step(method)["consistency"].backward()
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())


def test_the_student_alone_learns_and_alone_sees_the_strong_augmentation():
    network, method = set_up(confidence_threshold=0.0)
    seen = {}
    network.register_forward_pre_hook(lambda _, x: seen.update(student=x[0]))
    method.teacher.register_forward_pre_hook(lambda _, x: seen.update(teacher=x[0]))
    step(method)["consistency"].backward()
    assert torch.equal(seen["teacher"], image())
    assert not torch.equal(seen["student"], image())
    assert any(p.grad.any() for p in network.parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
    # Noise and contrast move no pixel: the two images stay strongly correlated, pixel by pixel.
    both = torch.stack([seen["student"].flatten(), seen["teacher"].flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.9


def test_statistics_of_the_teacher():
    """Its batch's own by default; an average of the student's; or the source's, when frozen."""

    def moved(**settings):
        network, method = set_up(ema=0.5, **PLAIN, **settings)
        before = {n: b.clone() for n, b in method.teacher.named_buffers()}
        step(method)
        method.after_step()
        means = [n for n in before if n.endswith("running_mean")]
        after, student = dict(method.teacher.named_buffers()), dict(network.named_buffers())
        return means, before, after, student

    means, before, after, student = moved()
    assert all(not torch.equal(after[n], before[n]) for n in means)
    means, before, after, student = moved(teacher_statistics="running")
    for n in means:
        torch.testing.assert_close(after[n], (before[n] + student[n]) / 2)
    means, before, after, student = moved(batchnorm_statistics="frozen")
    assert all(torch.equal(after[n], before[n]) for n in means)


@pytest.mark.parametrize("publish", ["teacher", "student"])
def test_what_is_published(publish):
    network, method = set_up(publish=publish)
    student = [p.clone() for p in network.parameters()]
    method.finish()
    expected = list(method.teacher.parameters()) if publish == "teacher" else student
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), expected, strict=True))

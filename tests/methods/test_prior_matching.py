"""Prior matching: what each equation updates, what the losses come to, its ablations and refusals."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from monai_sfda.errors import SettingError
from monai_sfda.losses import segmentation_cross_entropy, soft_dice_loss, standard_normal_divergence
from monai_sfda.methods import METHODS, create_method
from monai_sfda.networks import CrossDomainAutoencoder
from tests.builders import latent_network, release, small_network

SOURCE = {"E_S", "E_Z", "D_Z", "D_S"}
# From the paper: the arguments of Eqs. 1 to 7, the discriminator's side of Eqs. 3 and 5 by itself. The first
# convolution of the discriminator stands for it; D_T is no part of x_TS, whatever Eq. 5 lists.
UPDATES = {
    "source_reconstruction": SOURCE,
    "source_kl": {"E_S", "E_Z"},
    "segmentation": {"E_Z", "Seg"},
    "source_adversarial": SOURCE,
    "source_discriminator": {"Disc"},
    "target_reconstruction": {"E_T", "D_T"},
    "target_kl": {"E_T"},
    "target_adversarial": {"E_T"},
    "target_discriminator": {"Disc"},
    "cycle": {"E_T", "D_T"},
    "task_consistency": {"E_Z", "Seg"},
}


def ready(**settings):
    networks = CrossDomainAutoencoder(latent_network(), 2).train()
    method = create_method("prior_matching", settings)
    method.set_networks(networks)
    generator = torch.Generator().manual_seed(1)
    batch = {
        "image": torch.randn(2, 3, 32, 32, generator=generator),
        "label": torch.randint(0, 5, (2, 1, 32, 32), generator=generator),
        "target_image": torch.randn(2, 3, 32, 32, generator=generator),
    }
    return method, networks, batch


def parts(networks):
    """The paper's networks. E_Z is what both domains share up to mean and variance."""
    path = networks.path
    return {
        "E_S": path.encoder.parameters(),
        "E_T": networks.target_encoder.parameters(),
        "E_Z": [
            *path.shared.parameters(),
            *path.mean.parameters(),
            *networks.log_variance.parameters(),
        ],
        "D_Z": networks.shared_decoder.parameters(),
        "D_S": networks.source_decoder.parameters(),
        "D_T": networks.target_decoder.parameters(),
        "Seg": [*path.segmenter.parameters(), *networks.source_path.classifier.parameters()],
        "Disc": networks.discriminator.parameters(),
    }


@pytest.mark.parametrize("name", UPDATES)
def test_each_equation_updates_its_networks_and_no_other(name):
    method, networks, batch = ready()
    losses = method.step(batch, torch.Generator())
    assert losses.keys() == UPDATES.keys()
    losses[name].backward()
    updated = {
        part
        for part, parameters in parts(networks).items()
        if any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in parameters)
    }
    assert updated == UPDATES[name]


def test_the_source_step_leaves_the_target_alone():
    method, _, batch = ready()
    assert method.source_step(batch).keys() == set(list(UPDATES)[:5])


def test_losses_are_the_equations_with_the_paper_s_weights(monkeypatch):
    """Without the posterior's noise every term can be written down by hand."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    method, n, batch = ready()
    x_s, x_t, label = batch["image"], batch["target_image"], batch["label"]
    with torch.no_grad():
        losses = method.step(batch, torch.Generator())
        q_s, q_t = n.posterior(n.path.encoder(x_s)), n.posterior(n.target_encoder(x_t))
        x_ss, x_tt = (
            d(n.shared_decoder(q.mean)) for d, q in ((n.source_decoder, q_s), (n.target_decoder, q_t))
        )
        x_ts = n.source_decoder(n.shared_decoder(q_t.mean))
        x_tst = n.target_decoder(n.shared_decoder(n.posterior(n.path.encoder(x_ts)).mean))
        x_st = n.target_decoder(n.shared_decoder(q_s.mean))
        assert torch.equal(method.to_target(x_s), x_st)
        z_st = n.posterior(n.target_encoder(x_st)).mean

        def judged(x, real):
            logits = n.discriminator(x)
            return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))

        def segmentation(z):
            logits = n.segment(z)
            return soft_dice_loss(logits, label) + segmentation_cross_entropy(logits, label, weighted=True)

        expected = {
            "source_reconstruction": (x_ss - x_s).abs().mean(),
            "source_kl": 0.1 * standard_normal_divergence(*q_s),
            "segmentation": segmentation(q_s.mean),
            "source_adversarial": judged(x_ss, 1.0),
            "source_discriminator": judged(x_s, 1.0) + judged(x_ss, 0.0),
            "target_reconstruction": (x_tt - x_t).abs().mean(),
            "target_kl": 0.1 * standard_normal_divergence(*q_t),
            "target_adversarial": judged(x_ts, 1.0),
            "target_discriminator": judged(x_s, 1.0) + judged(x_ts, 0.0),
            "cycle": 10 * (x_tst - x_t).abs().mean(),
            "task_consistency": segmentation(z_st),
        }
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        ({"kl_weight": 0.0}, {"source_kl", "target_kl"}),
        (
            {"adversarial_weight": 0.0},
            {n for n in UPDATES if n.endswith(("adversarial", "discriminator"))},
        ),
        ({"cycle_weight": 0.0}, {"cycle"}),
    ],
)
def test_ablations_leave_their_terms_out(settings, gone):
    method, _, batch = ready(**settings)
    assert method.step(batch, torch.Generator()).keys() == UPDATES.keys() - gone


def test_the_adapted_segmenter_normalises_by_the_target_s_statistics_alone(monkeypatch):
    """Without the posterior's noise: moments of what the first batch norm reads, averaged over batches."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    method, n, batch = ready()
    x_t = batch["target_image"]
    batches = [x_t, 2 * x_t + 1]
    before = {name: p.clone() for name, p in n.named_parameters()}
    n.segment(n.posterior(n.path.encoder(batch["image"])).sample())  # the source's leave no trace
    method.observe_target(batches)
    with torch.no_grad():
        read = [n.path.segmenter.front[0](n.posterior(n.target_encoder(x)).mean) for x in batches]
    layer = n.path.segmenter.front[1]
    mean = torch.stack([x.mean((0, 2, 3)) for x in read]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in read]).mean(0)
    torch.testing.assert_close(layer.running_mean, mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(layer.running_var, variance, rtol=1e-4, atol=1e-6)
    assert layer.momentum == 0.1
    assert all(torch.equal(before[name], p) for name, p in n.named_parameters())


def test_a_release_is_not_enough():
    assert METHODS["prior_matching"].requires == {"source_data"}
    network = small_network()
    with pytest.raises(SettingError, match=r"needs the source's labelled scans.*run uda\.json"):
        create_method("prior_matching").setup(network, release(network))


def test_reads_no_target_label():
    assert create_method("prior_matching").target_labels_read == ()

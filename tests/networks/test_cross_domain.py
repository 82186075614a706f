"""The networks of prior matching: sizes, posterior, what a fixed part lets through, the path handed over."""

from __future__ import annotations

import pytest
import torch

from monai_sfda.errors import SettingError
from monai_sfda.networks import CrossDomainAutoencoder, Posterior, fixed
from monai_sfda.networks.vae import DomainDecoder, DomainEncoder, PatchDiscriminator
from tests.builders import latent_network, small_network


def test_a_decoder_mirrors_its_encoder():
    encoder = DomainEncoder(3, width=4, halvings=2, blocks=1)
    h = encoder(torch.randn(2, 3, 32, 24))
    assert h.shape == (2, 16, 8, 6)
    assert DomainDecoder(encoder)(h).shape == (2, 3, 32, 24)


def test_discriminator_judges_patches():
    assert PatchDiscriminator(3, width=2, halvings=4)(torch.randn(2, 3, 64, 32)).shape == (2, 1, 4, 2)


def test_posterior_is_drawn_with_its_moments():
    posterior = Posterior(torch.full((200_000,), 3.0), torch.full((200_000,), 2.0).log() * 2)
    torch.manual_seed(0)
    drawn = posterior.sample()
    assert float(drawn.mean()) == pytest.approx(3.0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(2.0, rel=0.01)


def test_a_fixed_part_passes_gradients_and_gets_none():
    part = DomainEncoder(3, width=2, halvings=1, blocks=1)
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    torch.testing.assert_close(fixed(part, x), part(x))
    (through_fixed,) = torch.autograd.grad(fixed(part, x).square().sum(), x)
    (through_free,) = torch.autograd.grad(part(x).square().sum(), x)
    torch.testing.assert_close(through_fixed, through_free)
    fixed(part, x).square().sum().backward()
    assert all(p.grad is None for p in part.parameters())


def test_the_target_starts_as_the_source_and_then_goes_its_own_way():
    networks = CrossDomainAutoencoder(latent_network(), 2).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for parameter in networks.path.encoder.parameters():
            parameter.add_(0.1)
        assert not torch.allclose(networks.target_path()(x), networks(x))
        networks.start_target()
        torch.testing.assert_close(networks.target_path()(x), networks(x))
        next(networks.target_encoder.parameters()).add_(1.0)
        assert not torch.allclose(networks.target_path()(x), networks(x))


def test_the_target_path_is_a_network_of_the_contract():
    networks = CrossDomainAutoencoder(latent_network(), 2).eval()
    path, x = networks.target_path(), torch.randn(2, 3, 32, 32)
    assert path.features(x).shape == (2, 4, 32, 32)
    torch.testing.assert_close(path.classify(path.features(x)), path(x))
    torch.testing.assert_close(torch.jit.script(path)(x), path(x))
    assert path.state_dict().keys() == networks.source_path.state_dict().keys()
    # by the posterior's mean
    h = networks.target_encoder(x)
    torch.testing.assert_close(networks.segment(networks.posterior(h).mean), path(x))


def test_another_backbone_is_refused():
    with pytest.raises(SettingError, match="prior matching segments a latent map, and the network is a UNet"):
        CrossDomainAutoencoder(small_network())

"""The seed of a bundle's run decides everything, the network's first weights too."""

from __future__ import annotations

import torch

from tests.integration.commands import ABDOMEN, QUICK, run_in_process


def train(data, out, **overrides):
    run_in_process(ABDOMEN, ("train", "small"), dataset_dir=data, output_dir=out, **(QUICK | overrides))
    return torch.load(out / "release" / "model.pt", weights_only=True)


def test_same_seed_same_release_and_another_seed_another(phantoms, source_run, tmp_path):
    first = torch.load(source_run / "release" / "model.pt", weights_only=True)
    torch.rand(7)  # whatever was drawn before
    again = train(phantoms, tmp_path / "again")
    other = train(phantoms, tmp_path / "other", seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_goes_on_from_a_checkpoint(phantoms, source_run, tmp_path):
    start = source_run / "release" / "model.pt"
    tuned = train(phantoms, tmp_path / "tuned", domain="target", checkpoint=start, learning_rate=1e-12)
    first = torch.load(start, weights_only=True)
    weights = [name for name in first if name.endswith(("weight", "bias"))]
    assert all(torch.allclose(tuned[name], first[name], atol=1e-5) for name in weights)
    manifest = (tmp_path / "tuned" / "release" / "release.json").read_text(encoding="utf-8")
    assert '"domain": "target"' in manifest
    assert '"first_weights": "random"' not in manifest

"""What scoring measures of a scan: the uncertainty by its equation, the familiarity as inference has it."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch

from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError
from monai_sfda.label.next_study.measure import EntropyMean, NoMemoryError, StoppedError, measure


def _mean(p: torch.Tensor, background: int | None = 0) -> float:
    mean = EntropyMean(background)
    mean.add(p)
    return mean.share()


def test_undecided_between_all_classes_is_one():
    assert _mean(torch.full((2, 5, 4, 4), 0.2)) == pytest.approx(1.0)


def test_certain_is_zero():
    p = torch.zeros(1, 3, 4, 4)
    p[:, 1] = 1
    assert _mean(p) == 0


def test_certain_air_does_not_dilute_it():
    sure = torch.tensor([1.0, 0.0, 0.0])
    unsure = torch.tensor([0.4, 0.4, 0.2])
    few = torch.stack([unsure, sure]).T.reshape(1, 3, 1, 2)
    many = torch.cat([few, sure.reshape(1, 3, 1, 1).expand(1, 3, 1, 98)], -1)
    assert _mean(many) == pytest.approx(_mean(few)) == pytest.approx(_entropy(unsure) / math.log(3))


def test_the_weight_is_the_probability_of_any_structure():
    pixels = [torch.tensor([0.9, 0.1]), torch.tensor([0.25, 0.75])]
    weights = [0.1, 0.75]
    expected = sum(w * _entropy(p) for w, p in zip(weights, pixels, strict=True)) / sum(weights) / math.log(2)
    assert _mean(torch.stack(pixels).T.reshape(1, 2, 1, 2)) == pytest.approx(expected, rel=1e-5)


def test_without_background_every_pixel_weighs_one():
    pixels = [torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5])]
    expected = sum(map(_entropy, pixels)) / 2 / math.log(2)
    assert _mean(torch.stack(pixels).T.reshape(1, 2, 1, 2), None) == pytest.approx(expected, rel=1e-5)


def test_batches_are_the_same_as_all_at_once():
    p = torch.rand(6, 4, 5, 5, generator=torch.Generator().manual_seed(1)).softmax(1)
    parts = EntropyMean(0)
    for part in p.split(4):
        parts.add(part)
    assert parts.share() == pytest.approx(_mean(p))


def test_all_certain_background_is_zero():
    p = torch.zeros(1, 3, 2, 2)
    p[:, 0] = 1
    assert _mean(p) == 0


def test_of_a_scan_it_is_that_of_the_networks_probabilities_and_the_familiarity_that_of_inference(installed):
    loaded = installed.models().load("abdomen")
    scan = loaded.read(next(iter(installed.scans.values())))
    familiarity, uncertainty = measure(loaded, scan)
    assert familiarity == loaded.familiarity(scan)
    segmenter = loaded.segmenter
    slices, _ = segmenter.preprocessing.image(scan.array, scan.affine)
    with torch.inference_mode():
        logits = segmenter.inferer(slices.transpose(0, 1)[None], segmenter.network)
    p = logits[0].double().softmax(0).numpy()
    weight = 1 - p[0]
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(0)
    assert uncertainty == pytest.approx(
        float((weight * entropy).sum() / weight.sum() / math.log(len(p))), rel=1e-4
    )
    assert 0 < uncertainty < 1


def test_it_ends_in_the_midst_of_a_scan(installed):
    loaded = installed.models().load("abdomen")
    scan = loaded.read(next(iter(installed.scans.values())))
    with pytest.raises(StoppedError):
        measure(loaded, scan, lambda: True)
    assert loaded.lock.acquire(blocking=False), "the network is free again"
    loaded.lock.release()


def test_an_inference_beside_it_changes_neither(installed):
    loaded = installed.models().load("abdomen")
    first, second = (loaded.read(path) for path in list(installed.scans.values())[:2])
    alone = measure(loaded, first)
    ended = threading.Event()

    def infer() -> None:
        while not ended.is_set():
            loaded.predict(second)

    thread = threading.Thread(target=infer)
    thread.start()
    try:
        beside = measure(loaded, first)
    finally:
        ended.set()
        thread.join()
    assert beside[0] == alone[0]
    assert beside[1] == pytest.approx(alone[1], rel=1e-6)


def test_channels_that_the_network_does_not_take_are_an_error_of_the_scan(installed):
    loaded = installed.models().load("abdomen")
    scan = Scan(np.zeros((2, 16, 16, 4), np.float32), np.eye(4))
    with pytest.raises(DataError, match="2 channels"):
        measure(loaded, scan)


def test_no_room_on_the_device_is_for_now_alone(installed, monkeypatch):
    loaded = installed.models().load("abdomen")
    scan = loaded.read(next(iter(installed.scans.values())))

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loaded.segmenter.network, "features", full)
    with pytest.raises(NoMemoryError, match="too little free memory"):
        measure(loaded, scan)


def _entropy(p: torch.Tensor) -> float:
    return float(-(p * p.log()).sum())

"""Every network of every bundle, full-size and small, as TorchScript and as ONNX: what PyTorch computes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.utils import convert_to_onnx
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.scan import Scan
from monai_sfda.engines import SliceStackInferer, segment_scan
from monai_sfda.networks.enet import unpool_by_comparison
from monai_sfda.transforms import preprocessing_for
from tests.builders import BUNDLES

AXES = {0: "batch", 2: "height", 3: "width"}
# as the documentation writes it
CONVERSION = {
    "dynamo": False,
    "input_names": ["image"],
    "output_names": ["pred"],
    "dynamic_axes": {"image": AXES, "pred": AXES},
}
SIZES = ((1, 64, 64), (3, 96, 64), (2, 48, 128))


def definitions():
    """Each network definition of the bundles once: full-size ones are long."""
    seen = []
    for bundle in sorted(p for p in BUNDLES.iterdir() if (p / "configs").is_dir()):
        for name in ("inference", "uda", "small"):
            path = bundle / "configs" / f"{name}.json"
            content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for key in ("network_def", "uda_network_def"):
                definition = content.get(key)
                if definition is None or definition in seen:
                    continue
                seen.append(definition)
                backbone = definition["backbone"]["_target_"].rsplit(".", maxsplit=1)[-1]
                yield pytest.param(
                    definition,
                    id=f"{bundle.name.split('_')[0]}-{name}-{backbone}",
                    marks=() if name == "small" else pytest.mark.long,
                )


def network_of(definition):
    """The network with weights, and statistics of batch norms, that let every layer matter."""
    torch.manual_seed(0)
    network = ConfigParser({"network": definition}).get_parsed_content("network").eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return network


def session_of(network, channels, example=(2, 64, 64)):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra `test`)")
    batch, height, width = example
    model = convert_to_onnx(
        network, [torch.randn(batch, channels, height, width)], use_trace=True, **CONVERSION
    )
    return runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("definition", definitions())
@torch.no_grad()
def test_exports_compute_what_pytorch_computes(definition):
    """At batch sizes and image sizes other than that of the export."""
    network, channels = network_of(definition), definition["backbone"]["in_channels"]
    scripted, session = torch.jit.script(network), session_of(network, channels)
    for batch, height, width in SIZES:
        x = torch.randn(batch, channels, height, width)
        expected = network(x)
        assert expected.std() > 0.01  # a network that says something
        tolerance = 1e-4 * max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(scripted(x), expected, rtol=0, atol=tolerance)
        (found,) = session.run(None, {"image": x.numpy()})
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=tolerance)


def test_unpooling_for_onnx_is_unpooling():
    x = torch.randn(3, 5, 12, 20)
    values, indices = functional.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(
        unpool_by_comparison(values, indices), functional.max_unpool2d(values, indices, [2, 2])
    )


class OnnxNetwork(nn.Module):
    """What the documentation runs an exported network with."""

    def __init__(self, session):
        super().__init__()
        self.session = session

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {"image": x.numpy()})[0])


def test_a_scan_is_segmented_alike_by_all_three():
    text = (BUNDLES / ABDOMEN.bundle / "configs" / "small.json").read_text(encoding="utf-8")
    network = network_of(json.loads(text)["network_def"])
    scan = Scan(
        np.random.default_rng(0).normal(size=(1, 40, 36, 7)).astype(np.float32), np.diag([5, 5, 6, 1.0])
    )
    preprocessing = preprocessing_for(ABDOMEN, ABDOMEN.target, pixel_size_mm=3.2)
    inferer = SliceStackInferer(batch_size=4, minimum_size=64)
    masks = [
        segment_scan(scan, form, preprocessing, inferer, "cpu")
        for form in (network, torch.jit.script(network), OnnxNetwork(session_of(network, 3)))
    ]
    assert len(np.unique(masks[0])) > 1
    for mask in masks[1:]:
        assert (mask == masks[0]).mean() > 0.999  # voxels on the border between two classes may tip over


@pytest.mark.long
def test_the_documented_commands(tmp_path):
    """`ckpt_export` and `onnx_export` of a bundle, as processes, from a checkpoint of its small network."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra `test`)")
    configs = BUNDLES / ABDOMEN.bundle / "configs"
    network = network_of(json.loads((configs / "small.json").read_text(encoding="utf-8"))["network_def"])
    torch.save(network.state_dict(), tmp_path / "model.pt")
    common = {
        "net_id": "network_def",
        "ckpt_file": tmp_path / "model.pt",
        "meta_file": configs / "metadata.json",
        "config_file": f"['{configs}/inference.json','{configs}/small.json']",
    }
    for verb, more in (
        ("ckpt_export", {"filepath": tmp_path / "model.ts"}),
        (
            "onnx_export",
            {"filepath": tmp_path / "model.onnx", "use_trace": True, "converter_kwargs": CONVERSION},
        ),
    ):
        words = [str(w) for name, value in (common | more).items() for w in (f"--{name}", value)]
        done = subprocess.run(
            [sys.executable, "-m", "monai.bundle", verb, *words],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
    x = torch.randn(3, 3, 96, 64)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(x), expected, rtol=0, atol=1e-4)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": x.numpy()})[0], expected, rtol=0, atol=1e-4)

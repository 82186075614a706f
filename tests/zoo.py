"""What MONAI's model zoo asks of a bundle before it takes it: files, keys, versions, weights, export.

Its checks are written down in the zoo's CONTRIBUTING; those that need its network are left out.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from tests.builders import REPOSITORY

SCHEMA = REPOSITORY.parent / "shared" / "schema" / "meta_schema_20240725.json"
LARGEST_FILE = 25 * 2**20
FILES = ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/inference.json")
KEYS = {
    "inference": ("bundle_root", "device", "network_def", "inferer", "dataset_dir", "output_dir"),
    "train": ("bundle_root", "device", "dataset_dir", "output_dir"),
}


def read_configuration(bundle: Path, name: str) -> dict[str, Any]:
    """One file of `configs/`."""
    content: dict[str, Any] = json.loads((bundle / "configs" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def check_source_of_bundle(bundle: Path) -> None:
    """Files, metadata, versions, keys: all that needs no weights."""
    assert [name for name in FILES if not (bundle / name).is_file()] == []
    assert [str(p) for p in bundle.rglob("*") if p.is_file() and p.stat().st_size > LARGEST_FILE] == []
    metadata = read_configuration(bundle, "metadata")
    assert metadata["version"] == next(iter(metadata["changelog"]))
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] > 0
    assert metadata["supported_apps"]
    assert "not for diagnosis" in metadata["intended_use"]
    required = metadata["required_packages_version"]
    assert required["monai_sfda"] == version("monai_sfda")
    assert metadata["monai_version"] == version("monai")
    # MONAI opens configurations in the encoding of the locale, which may be ASCII.
    assert [path.name for path in (bundle / "configs").iterdir() if not path.read_bytes().isascii()] == []
    for name, keys in KEYS.items():
        content = read_configuration(bundle, name)
        assert [key for key in keys if key not in content] == []
    train = read_configuration(bundle, "train")["train"]
    assert [key for key in ("trainer", "dataset", "inferer") if key not in train] == []
    if SCHEMA.is_file():
        verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(SCHEMA))


def check_zoo_ready(bundle: Path, scratch: Path) -> None:
    """Everything, of a bundle with weights.

    Args:
        bundle: its folder.
        scratch: where the exported network may be written.
    """
    check_source_of_bundle(bundle)
    assert not (bundle / "configs" / "small.json").exists()
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    files = {
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "config_file": str(bundle / "configs" / "inference.json"),
    }
    verify_net_in_out(net_id="network_def", device="cpu", n=2, **files)
    workflow = ConfigWorkflow(
        config_file=files["config_file"],
        meta_file=files["meta_file"],
        workflow_type="inference",
        logging_file=False,
        bundle_root=str(bundle),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    exported = scratch / f"{bundle.parent.name}.ts"
    ckpt_export(
        net_id="network_def",
        filepath=str(exported),
        ckpt_file=str(bundle / "models" / "model.pt"),
        key_in_ckpt="",
        **files,
    )
    network = workflow.parser.get_parsed_content("network_def")
    network.load_state_dict(weights)
    channels = read_configuration(bundle, "metadata")["network_data_format"]["inputs"]["image"][
        "num_channels"
    ]
    x = torch.randn(2, channels, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.load(str(exported))(x), network.eval()(x), atol=1e-4, rtol=0.0)

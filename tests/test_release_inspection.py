"""What `release inspect` says of a release: all that is in it, and above all what should not be."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from monai_sfda.errors import ReleaseError
from monai_sfda.release_inspection import inspect_release
from monai_sfda.release_page import release_page
from monai_sfda.signing import read_private_key, sign_release, write_keys
from tests.builders import prototypes, release, small_network


@pytest.fixture
def folder(tmp_path):
    release(small_network()).write(tmp_path / "release")
    return tmp_path / "release"


def rewrite(folder, change):
    """Changes the manifest's content, and makes the hashes of its files right again."""
    path = folder / "release.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    for name in content["files"]:
        if (folder / name).is_file():
            content["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(content), encoding="utf-8")


def words(folder) -> str:
    return " ".join(release_page(inspect_release(folder)).split())


def test_a_release_as_it_is_written_has_nothing_unknown(folder):
    found = inspect_release(folder)
    assert found.nothing_else
    assert [*found.unknown, *found.warnings, *found.names, *found.few_subjects] == []
    assert {file.name: file.state for file in found.files} == {
        "model.pt": "whole",
        "prototypes.safetensors": "whole",
        "release.json": "-",
    }
    for file in found.files:
        content = (folder / file.name).read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    weights = torch.load(folder / "model.pt", weights_only=True)
    assert found.tensors["model.pt"].numbers == sum(tensor.numel() for tensor in weights.values())
    json.dumps(found.to_json(), allow_nan=False)


def test_the_page_says_what_is_behind_each_class_and_that_it_is_unsigned(folder):
    page = release_page(inspect_release(folder))
    row = next(line for line in page.splitlines() if line.startswith("spleen")).split()
    assert row[:3] == ["spleen", "1,000", "3"]
    assert "Not signed" in page
    assert "not for diagnosis" in page
    assert "no image, no part of one" in page
    assert max(map(len, page.splitlines())) <= 140


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("class_ratio",),
        ("prototypes",),
        ("training",),
        ("validation",),
        ("preprocessing", "source"),
        ("preprocessing", "source", "intensity"),
    ],
)
def test_a_made_up_entry_is_shown_with_its_value(folder, place):
    def change(content):
        for name in place:
            content = content[name]
        content["patients"] = {"one": ["SMITH", 1961]}

    rewrite(folder, change)
    found = inspect_release(folder)
    assert not found.nothing_else
    text = words(folder)
    assert f"UNKNOWN entry '{'.'.join((*place, 'patients', 'one'))}" in text
    assert "SMITH" in text
    assert "Cannot be said" in text
    assert "no image" not in text


def test_an_entry_that_is_given_twice_is_named(folder):
    path = folder / "release.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"kind":', '"task": "SMITH", "kind":'), encoding="utf-8")
    assert not inspect_release(folder).nothing_else
    assert "gives 'task' twice" in words(folder)


@pytest.mark.parametrize("name", ["scan.nii.gz", ".hidden", "model.pt.bak"])
def test_a_file_that_is_not_listed_is_unexpected(folder, name):
    (folder / name).write_bytes(b"x")
    text = words(folder)
    assert f"{name} 1 bytes UNEXPECTED" in text
    assert f"{name} is unexpected" in text
    assert "Cannot be said" in text


def test_a_file_of_no_known_kind_is_unexpected_though_it_is_listed(folder):
    (folder / "atlas2.bin").write_bytes(b"x")
    rewrite(folder, lambda content: content["files"].update({"atlas2.bin": ""}))
    assert "atlas2.bin is unexpected" in words(folder)


def test_a_folder_is_unexpected(folder):
    (folder / "scans").mkdir()
    assert "scans is unexpected" in words(folder)


def test_altered_and_missing_files_are_named(folder):
    with (folder / "prototypes.safetensors").open("ab") as stream:
        stream.write(b"x")
    (folder / "model.pt").unlink()
    text = words(folder)
    assert "prototypes.safetensors is altered" in text
    assert "model.pt is missing" in text


def test_what_hides_in_the_weights_file_is_seen(folder):
    with zipfile.ZipFile(folder / "model.pt", "a") as archive:
        archive.writestr("archive/patients.csv", "SMITH")
    rewrite(folder, lambda content: None)
    assert "the archive holds 'patients.csv'" in words(folder)


def test_a_view_of_a_larger_tensor_is_seen(folder):
    """torch.save writes the whole storage of a view."""
    torch.save({"a": torch.arange(1000.0)[:10]}, folder / "model.pt")
    rewrite(folder, lambda content: None)
    assert "3960 bytes that no weight uses" in words(folder)


def test_a_tensor_that_no_prototypes_have_is_seen(folder):
    path = folder / "prototypes.safetensors"
    save_file(
        load_file(path) | {"images": np.zeros((2, 8, 8))}, path, {"rho": "0.97", "warnings": "", "x": "y"}
    )
    rewrite(folder, lambda content: None)
    text = words(folder)
    assert "tensor 'images' is unknown" in text
    assert "metadata 'x' is unknown" in text


def test_a_path_is_named_where_nobody_looks_for_one(folder):
    rewrite(folder, lambda content: content["network_def"].update({"weights": "/data/SMITH_JOHN/best.pt"}))
    text = words(folder)
    assert "'/data/SMITH_JOHN/best.pt' looks like the name of a file" in text
    assert "no name, date" not in text


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            {"prototypes": replace(prototypes(), subjects=torch.tensor([3, 3, 3, 2, 3]))},
            "left_kidney rests on 2",
        ),
        ({"reference_scans": {"subjects": 2}}, "'reference_scans.subjects' rests on 2"),
        ({"domain": "target"}, "must not leave its site"),
    ],
)
def test_numbers_of_too_few_subjects_are_named(tmp_path, change, warning):
    release(small_network(), **change).write(tmp_path / "release")
    text = words(tmp_path / "release")
    assert warning in text
    assert "one subject's scan alone" not in text


def test_signatures_are_told_apart(folder, tmp_path):
    made = write_keys(tmp_path / "site.pem")
    sign_release(folder, read_private_key(tmp_path / "site.pem"))
    assert inspect_release(folder).nothing_else
    assert f"Signed by the key with the fingerprint {made}" in words(folder)
    rewrite(folder, lambda content: content["training"].update({"seed": 7}))
    text = words(folder)
    assert "INVALID" in text
    assert f"fingerprint {made}" not in text


def test_no_release_is_an_error(tmp_path):
    with pytest.raises(ReleaseError, match=r"release\.json is missing"):
        inspect_release(tmp_path)
    (tmp_path / "release.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ReleaseError, match="cannot be read"):
        inspect_release(tmp_path)


def test_a_manifest_of_other_types_does_not_end_in_a_trace(folder):
    def change(content):
        content["prototypes"], content["validation"], content["labels"] = 3, [1], None

    rewrite(folder, change)
    assert "is not as a release of this version writes it" in words(folder)

"""Files and folders appear whole or not at all, whatever interrupts their writing."""

from __future__ import annotations

import json

import pytest

from monai_sfda.errors import OutputError
from monai_sfda.files import remove_leftovers, whole_file, whole_folder, write_json


def test_interrupted_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as beside:
        beside.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("moment", ["filling", "swapping"])
def test_interrupted_folder_leaves_the_old_one(tmp_path, monkeypatch, moment):
    path = tmp_path / "release"
    path.mkdir()
    (path / "model.pt").write_text("old", encoding="utf-8")
    if moment == "swapping":
        rename = type(path).rename

        def interrupted(self, target):
            if self.name.endswith(".tmp"):
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(type(path), "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folder(path) as beside:
        (beside / "model.pt").write_text("new", encoding="utf-8")
        if moment == "filling":
            raise KeyboardInterrupt
    assert (path / "model.pt").read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["release"]


def test_folder_replaces_the_old_one(tmp_path):
    for content in ("one", "two"):
        with whole_folder(tmp_path / "release") as beside:
            (beside / "model.pt").write_text(content, encoding="utf-8")
    assert (tmp_path / "release" / "model.pt").read_text(encoding="utf-8") == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["release"]


def test_what_cannot_be_written_is_our_error(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="space left"):
        write_json(tmp_path / "file" / "a.json", {})


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"dice": float("nan")})
    write_json(tmp_path / "a.json", {"dice": None})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"dice": None}


def test_leftovers_of_a_killed_process_are_swept(tmp_path):
    (tmp_path / ".1234abcd.tmp.history.csv").write_text("half", encoding="utf-8")
    (tmp_path / ".release.1234abcd.tmp").mkdir()
    (tmp_path / "history.csv").write_text("whole", encoding="utf-8")
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["history.csv"]

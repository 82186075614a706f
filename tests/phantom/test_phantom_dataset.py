"""Whole data sets: which subjects, the same bytes from the same seed, and folders that are not ours."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from monai_sfda.catalog import find_task
from monai_sfda.errors import OutputError, SettingError
from monai_sfda.phantom import choose_subjects, write_phantoms

MATRIX = 32


def digests(folder: Path, beneath: str = "") -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / beneath).rglob("*"))
        if path.is_file() and path.name != "phantom.json"
    }


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "three"
    write_phantoms("abdomen", out, 3, 7, matrix=MATRIX, workers=2)
    return out


def test_the_layout_is_that_of_the_challenges(three: Path) -> None:
    task = find_task("abdomen")
    sources, targets = choose_subjects(task.source, 3), choose_subjects(task.target, 3)
    assert sorted(p.name for p in (three / "Train_Sets" / "MR").iterdir()) == sorted(sources)
    training = three / "RawData" / "Training"
    assert sorted(p.name for p in (training / "img").iterdir()) == [
        f"img{int(i):04d}.nii.gz" for i in targets
    ]
    assert sorted(p.name for p in (training / "label").iterdir()) == [
        f"label{int(i):04d}.nii.gz" for i in targets
    ]
    assert not list(three.glob(".*"))


def test_the_manifest_says_that_no_patient_is_shown(three: Path) -> None:
    manifest = json.loads((three / "phantom.json").read_text(encoding="utf-8"))
    assert manifest["notice"] == "phantom data, not patient data"
    assert (manifest["task"], manifest["seed"], manifest["matrix"], manifest["complete"]) == (
        "abdomen",
        7,
        MATRIX,
        True,
    )
    assert manifest["subjects"]["target"]["ids"] == choose_subjects(find_task("abdomen").target, 3)


def test_a_subject_is_the_same_however_many_there_are_and_whoever_writes_it(
    three: Path, tmp_path: Path
) -> None:
    calls: list[tuple[int, int]] = []
    write_phantoms(
        "abdomen", tmp_path / "one", 1, 7, matrix=MATRIX, workers=1, progress=lambda *n: calls.append(n)
    )
    one, all_three = digests(tmp_path / "one"), digests(three)
    assert one.items() <= all_three.items()
    assert len(one) > 20
    assert calls == [(1, 2), (2, 2)]
    write_phantoms("abdomen", tmp_path / "other", 1, 8, matrix=MATRIX, workers=1)
    other = digests(tmp_path / "other")
    images = [{value for name, value in files.items() if not name.endswith(".png")} for files in (one, other)]
    assert not images[0] & images[1]


def test_source_and_target_are_other_people(three: Path) -> None:
    import nibabel

    from monai_sfda.phantom import make_abdomen
    from monai_sfda.phantom.jobs import SubjectSeeds

    source, target = (
        make_abdomen(SubjectSeeds.of(7, domain, "1").anatomy) for domain in ("source", "target")
    )
    assert source.liver != target.liver
    assert nibabel.load(next((three / "RawData").rglob("img*.nii.gz"))).shape[:2] == (MATRIX, MATRIX)


def test_an_interrupted_run_is_taken_up_where_it_stopped(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(three, out)
    wanted = digests(out)
    shutil.rmtree(out / "Train_Sets" / "MR" / "2")
    (out / "RawData" / "Training" / "label" / "label0001.nii.gz").unlink()
    (out / ".source-2.tmp").mkdir()
    (out / ".source-2.tmp" / "half").write_text("written", encoding="utf-8")
    kept = out / "RawData" / "Training" / "img" / "img0002.nii.gz"
    before = kept.stat().st_mtime_ns
    write_phantoms("abdomen", out, 3, 7, matrix=MATRIX, workers=1)
    assert digests(out) == wanted
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("subjects", "seed", "matrix", "message"),
    [(3, 8, MATRIX, "seed 7"), (3, 7, 64, f"matrix {MATRIX}"), (2, 7, MATRIX, "more than the 2")],
)
def test_phantoms_of_other_settings_are_not_mixed(
    three: Path, subjects: int, seed: int, matrix: int, message: str
) -> None:
    before = digests(three)
    with pytest.raises(OutputError, match=message):
        write_phantoms("abdomen", three, subjects, seed, matrix=matrix, workers=1)
    assert digests(three) == before


@pytest.mark.parametrize("manifest", [None, "no json", '{"notice": "something else"}', "[1]"])
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    if manifest is not None:
        (tmp_path / "phantom.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(OutputError, match="empty folder"):
        write_phantoms("abdomen", tmp_path, 1, 0, matrix=MATRIX, workers=1)
    assert {p.name for p in tmp_path.iterdir()} <= {"thesis.txt", "phantom.json"}


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="another folder"):
        write_phantoms("abdomen", tmp_path / "out", 1, 0, matrix=MATRIX, workers=1)


@pytest.mark.parametrize(
    ("task", "subjects", "seed", "matrix", "workers", "message"),
    [
        ("abdomn", 1, 0, None, 1, "abdomen"),
        ("soft_tissue", 1, 0, None, 1, "no phantoms"),
        ("abdomen", 0, 0, None, 1, "0 subjects"),
        ("abdomen", 21, 0, None, 1, "give 1 to 20"),
        ("abdomen", 1, -1, None, 1, "seed -1"),
        ("abdomen", 1, 0, 1024, 1, "matrix 1024"),
        ("abdomen", 1, 0, None, 0, "workers"),
    ],
)
def test_impossible_settings_are_named(
    tmp_path: Path, task: str, subjects: int, seed: int, matrix: int | None, workers: int, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        write_phantoms(task, tmp_path / "out", subjects, seed, matrix=matrix, workers=workers)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("domain_name", ["source", "target"])
def test_train_and_test_are_both_there_in_the_official_proportion(domain_name: str) -> None:
    domain = find_task("abdomen").domain(domain_name)
    test = set(domain.splits["test"])
    everyone = test | set(domain.splits["train"])
    share = len(test) / len(everyone)
    previous: set[str] = set()
    for count in range(1, len(everyone) + 1):
        chosen = choose_subjects(domain, count)
        assert len(set(chosen)) == len(chosen) == count
        assert previous <= set(chosen) <= everyone
        tests = len(test & set(chosen))
        assert count < 2 or tests >= 1
        assert count < 10 or tests >= 3
        assert abs(tests - share * count) <= 1.1
        previous = set(chosen)
    assert previous == everyone

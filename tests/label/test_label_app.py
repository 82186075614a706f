"""The app as MONAI Label's server sees it: its parts, /info, inference by id, batches."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.errors import DataError, OutputError, SettingError, SfdaError
from tests.builders import REPOSITORY


@pytest.fixture(scope="module")
def app(installed, tmp_path_factory):
    from monai_sfda.label.app import SfdaApp

    folder = tmp_path_factory.mktemp("app")
    installed.copy_store(folder / "store")
    studies = installed.copy_studies(folder / "studies", 2)
    made = SfdaApp(str(folder), str(studies), {"device": "cpu", "server_mode": "true"})
    yield made
    made.close()


@pytest.fixture(scope="module")
def studies(app):
    return sorted(app.datastore().list_images())


@pytest.fixture(autouse=True)
def no_files_left():
    import tempfile

    there = set(Path(tempfile.gettempdir()).glob("result-*"))
    yield
    for path in set(Path(tempfile.gettempdir()).glob("result-*")) - there:
        path.unlink()


def test_monai_label_finds_the_app():
    from monai_sfda.label.stock import prepare

    prepare()
    from monailabel.utils.others.class_utils import get_class_of_subclass_from_file

    found = get_class_of_subclass_from_file(
        "main", str(REPOSITORY / "apps" / "sfda" / "main.py"), "MONAILabelApp"
    )
    assert found.__name__ == "SfdaApp"


def test_info_is_plain_json_and_shows_the_adaptation_first(app):
    found = json.loads(json.dumps(app.info(), allow_nan=False))
    assert found["name"] == "monai_sfda"
    assert found["labels"] == ["liver", "right_kidney", "left_kidney", "spleen"]
    assert next(iter(found["models"])) == "abdomen"
    assert {"abdomen_scribbles", "abdomen_clicks"} <= found["models"].keys()
    assert next(iter(found["trainers"])) == "adapt_abdomen"
    assert found["strategies"].keys() >= {"random"}
    assert found["datastore"]["total"] == 2


def test_a_study_is_segmented_by_its_id_and_a_new_version_serves_without_restart(app, studies):
    request = {"model": "abdomen", "image": studies[0]}
    first = app.infer(request)
    assert first["params"]["model_version"] == 1
    app.models.store.activate("abdomen", 2)
    try:
        second = app.infer(request)
        assert second["params"]["model_version"] == 2
        assert "version 2" in app.info()["models"]["abdomen"]["description"]
    finally:
        app.models.store.rollback("abdomen")
    assert app.infer(request)["params"]["model_version"] == 1
    scan = nib.load(app.datastore().get_image_uri(studies[0]))
    assert nib.load(first["file"]).shape == scan.shape
    assert np.allclose(nib.load(first["file"]).affine, scan.affine, atol=1e-4)


def test_what_an_inference_has_seen_is_remembered(app, studies):
    app.infer({"model": "abdomen", "image": studies[1]})
    score = app.datastore().get_image_info(studies[1])["sfda"]["abdomen"]
    assert score["version"] == 1
    assert score["shift"] >= 0


def test_a_path_is_no_study(app, installed):
    path = next(iter(installed.scans.values()))
    for image in (str(path), "/etc/passwd", "../secret", "", None):
        with pytest.raises(SfdaError) as error:
            app.infer({"model": "abdomen", "image": image})
        assert "etc" not in str(error.value)
        assert str(path.parent) not in str(error.value)


def test_a_file_of_the_servers_own_is_segmented_and_not_saved(app, installed):
    path = next(iter(installed.scans.values()))
    found = app.infer({"model": "abdomen", "image": path, "save_label": True})
    assert found["label"] == found["file"]


def test_unknown_tasks_are_errors_that_name_the_nearest(app, studies):
    with pytest.raises(SettingError, match=r"abdomn.*abdomen"):
        app.infer({"model": "abdomn", "image": studies[0]})
    with pytest.raises(SettingError, match="strategy"):
        app.next_sample({"strategy": "alphabetical"})


def test_the_next_sample_has_an_id_and_no_path(app, studies):
    found = app.next_sample({"strategy": "random"})
    assert found["id"] in studies
    assert "path" not in found


def test_a_batch_segments_the_studies_and_saves_their_labels(app, studies):
    found = app.batch_infer({"model": "abdomen", "images": "all", "max_batch_size": "1"})
    assert list(found) == studies[:1]
    assert found[studies[0]]["params"]["model"] == "abdomen"
    assert app.datastore().get_label_by_image_id(studies[0], "original")


def test_a_bad_study_does_not_stop_a_batch(app, studies):
    found = app.batch_infer({"model": "abdomen", "images": ["nobody", studies[0]]})
    assert "error" in found["nobody"]
    assert found[studies[0]]["params"]["model_version"] == 1


def test_logs_name_no_study_and_no_path(app, studies, caplog):
    with caplog.at_level(logging.INFO):
        app.infer({"model": "abdomen", "image": studies[0]})
        with pytest.raises(DataError):
            app.infer({"model": "abdomen", "image": "name_of_a_patient"})
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("monai_sfda"))
    assert studies[0] not in ours
    assert "patient" not in ours
    assert "/" not in ours


def test_a_store_that_cannot_be_read_is_an_error_of_the_request_and_not_of_info(app, studies):
    active = app.models.store.root / "abdomen" / "active.json"
    content = active.read_bytes()
    active.write_bytes(b"{")
    try:
        assert "abdomen" not in json.loads(json.dumps(app.info()))["models"]
        with pytest.raises(SfdaError, match=r"active.json cannot be read"):
            app.infer({"model": "abdomen", "image": studies[0]})
    finally:
        active.write_bytes(content)
    assert "abdomen" in app.info()["models"]


def test_several_models_are_served_side_by_side(installed, tmp_path):
    from monai_sfda.label.app import SfdaApp

    store = installed.copy_store(tmp_path / "store")
    store.publish(installed.source_run, model="second")
    studies = installed.copy_studies(tmp_path / "studies", 1)
    made = SfdaApp(str(tmp_path), str(studies), {"device": "cpu", "models": "second,abdomen"})
    found = made.info()
    made.close()
    made.close()
    segmentations = [name for name, model in found["models"].items() if model["type"] == "segmentation"]
    assert segmentations == ["second", "abdomen"]
    assert found["labels"] == ["liver", "right_kidney", "left_kidney", "spleen"]


def test_a_saved_result_keeps_its_names_when_a_correction_puts_a_structure_first(app, studies, monkeypatch):
    saved = []
    monkeypatch.setattr(app.datastore(), "save_label", lambda *given: saved.append(given) or "original")
    scan = app.models.load("abdomen").read(Path(app.datastore().get_image_uri(studies[0])))
    click = [int(n) // 2 for n in scan.shape]
    request = {"model": "abdomen_grow", "image": studies[0], "foreground": [click], "label": "spleen"}
    found = app.infer({**request, "selected_label_name": "spleen", "save_label": "true", "user": "anna"})
    names = found["params"]["label_names"]
    about = saved[0][3]
    assert names["spleen"] == 1
    assert about["label_info"] == [
        {"name": n, "idx": i} for n, i in sorted(names.items(), key=lambda x: x[1])
    ]
    assert (about["model"], about["model_version"], about["saved_by"]) == ("abdomen", 1, "anna")
    monkeypatch.undo()
    app.infer({**request, "selected_label_name": "spleen", "save_label": "true"})
    result = np.asarray(nib.load(found["file"]).dataobj)
    saved = np.asarray(nib.load(app.datastore().get_label_uri(studies[0], "original")).dataobj)
    for name, index in app.models["abdomen"].labels.items():
        assert np.array_equal(saved == index, result == names[name]), name


def test_the_datastore_knows_which_version_has_segmented_a_study(app, studies):
    app.infer({"model": "abdomen", "image": studies[0], "version": "2"})
    assert app.datastore().records.get(studies[0])["segmented"]["abdomen"]["version"] == 2


def test_no_file_stays_behind_when_a_label_cannot_be_saved(app, studies, monkeypatch):
    import tempfile

    def full(*given):
        raise OutputError("the disk is full", remedy="make room")

    monkeypatch.setattr(app.datastore(), "save_label", full)
    there = set(Path(tempfile.gettempdir()).glob("result-*"))
    with pytest.raises(OutputError):
        app.infer({"model": "abdomen", "image": studies[0], "save_label": True})
    assert set(Path(tempfile.gettempdir()).glob("result-*")) <= there

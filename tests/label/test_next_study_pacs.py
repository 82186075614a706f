"""Studies of a real PACS are scored once, kept over a restart, given, and never looked at by a strategy."""

from __future__ import annotations

import pytest

from monai_sfda.label.next_study import scorings_of, strategies_of, summary_of
from monai_sfda.label.next_study.scores import read_score
from monai_sfda.store import ModelStore
from tests.label.dicom_phantoms import write_study
from tests.label.next_study import small_app
from tests.label.orthanc import orthanc  # noqa: F401

pytestmark = pytest.mark.long


def test_scores_of_a_pacs_are_kept_and_used(installed, orthanc, tmp_path, monkeypatch):  # noqa: F811
    studies = {}
    for name, modality in (("NEXT-1", "CT"), ("NEXT-2", "CT"), ("NEXT-3", "MR")):
        study = write_study(tmp_path / name, patient=name, modality=modality)
        orthanc.store_folder(study.folder)
        studies[study.series[0].uid] = modality
    app = small_app(ModelStore(installed.store), orthanc.dicomweb, tmp_path / "cache")
    app.studies.cache.settled_seconds = 0.3
    assert scorings_of(app)["score_abdomen"]({}, app.studies)["put_off"] == 0

    again = small_app(ModelStore(installed.store), orthanc.dicomweb, tmp_path / "cache")
    for image_id, modality in studies.items():
        score = read_score(again.studies.get_image_info(image_id), "abdomen")
        assert (score is not None) == (modality == "CT")
        assert score is None or score.uncertainty is not None
    monkeypatch.setattr(again.studies, "get_image_uri", lambda image_id: pytest.fail("a scan was asked for"))
    assert scorings_of(again)["score_abdomen"]({}, again.studies)["done"] == 0
    open_ = summary_of(again)["abdomen"]["studies"]
    given = {strategies_of(again)["domain_shift"]({}, again.studies)["id"] for _ in range(open_)}
    assert {image_id for image_id, modality in studies.items() if modality == "CT"} <= given
    assert not any(image_id in given for image_id, modality in studies.items() if modality == "MR")

"""Real scans, well-formed and not: each is scored, or says in words why not, and none ends the run."""

from __future__ import annotations

import json

import pytest

from monai_sfda.label.next_study import scorings_of
from monai_sfda.label.next_study.drift import drift_of_model
from monai_sfda.label.next_study.scores import read_score
from tests.builders import real
from tests.label.next_study import small_app

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", ["ibsi_sts/dicom", "sunnybrook", "abdomen_examples"])
def test_real_scans_are_scored_or_say_why_not(installed, tmp_path, name):
    source, _, inside = name.partition("/")
    folder = real(source)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "site").symlink_to(folder / inside if (folder / inside).is_dir() else folder)
    app = small_app(installed.copy_store(tmp_path / "store"), tmp_path / "root", tmp_path / "cache")
    infos = {image_id: app.studies.get_image_info(image_id) for image_id in app.ids()}
    fitting = [i for i, info in infos.items() if info.get("Modality") in (None, "CT")]
    tally = scorings_of(app)["score_abdomen"]({}, app.studies)
    assert tally["studies"] == len(fitting) == tally["scored"] + tally["failed"]
    for image_id in infos:
        score = read_score(app.studies.get_image_info(image_id), "abdomen")
        assert (score is not None) == (image_id in fitting)
        if score is not None and score.error is not None:
            assert str(tmp_path) not in score.error
            assert str(folder) not in score.error
        elif score is not None:
            assert score.uncertainty is not None
            assert 0 <= score.uncertainty <= 1
    answer = json.dumps(drift_of_model(app.models["abdomen"], app.studies, since="ever"))
    assert not any(image_id in answer for image_id in infos)

"""A result in a report must have scored the weights that its name says."""

from __future__ import annotations

import pytest

from monai_sfda.errors import DataError
from monai_sfda.workflow.scored_weights import check_scored_weights

RECORD = {"source_model_sha256": "source", "adapted_sha256": "adapted", "model_sha256": "chosen"}


def results(**hashes):
    return {
        name.replace("_", " "): {} if value is None else {"checkpoint_sha256": value}
        for name, value in hashes.items()
    }


@pytest.mark.parametrize("adapted", ["adapted", "chosen"])
def test_the_right_weights_pass_without_a_word(adapted):
    scored = results(
        unadapted="source", adapted=adapted, published="chosen", supervised_bound="bound", other="whatever"
    )
    assert check_scored_weights(RECORD, scored) == []


def test_a_run_that_published_the_unadapted_model_was_not_evaluated_by_it():
    """Else a report would show the unadapted scores as the adapted ones."""
    rejected = RECORD | {"model_sha256": "source"}
    assert check_scored_weights(rejected, results(unadapted="source", adapted="adapted")) == []
    with pytest.raises(DataError, match=r"'adapted' was scored with the release's model\.pt.*adapted\.pt"):
        check_scored_weights(rejected, results(adapted="source"))
    unchanged = rejected | {"adapted_sha256": "source"}  # the method `none`
    assert check_scored_weights(unchanged, results(unadapted="source", adapted="source")) == []


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        ({"unadapted": "adapted"}, r"'unadapted' was scored with this run's adapted weights.*release's"),
        ({"unadapted": "chosen"}, "'unadapted'.*adapted weights"),
        ({"unadapted": "another"}, "'unadapted'.*neither this run nor its release"),
        ({"adapted": "source"}, r"'adapted' was scored with the release's model\.pt.*adapted\.pt"),
        ({"unadapted": "source", "adapted": "another"}, "'adapted'.*neither"),
        ({"published": "adapted"}, "'published' was scored with this run's adapted weights.*model.pt"),
        ({"supervised_bound": "adapted"}, "'supervised bound'.*domain target"),
        ({"supervised_bound": "source"}, "'supervised bound'"),
    ],
)
def test_other_weights_are_refused_by_name_with_what_to_do(hashes, message):
    with pytest.raises(DataError, match=message):
        check_scored_weights(RECORD, results(**hashes))


def test_results_and_runs_of_earlier_versions_are_warned_of():
    (warning,) = check_scored_weights(RECORD, results(unadapted=None, adapted="adapted"))
    assert "'unadapted' recorded no hash" in warning
    (warning,) = check_scored_weights({}, results(unadapted="source"))
    assert "run recorded no hash" in warning
    assert check_scored_weights({}, {}) == []
    with pytest.raises(DataError, match="'adapted'"):
        check_scored_weights(RECORD, results(unadapted=None, adapted="source"))

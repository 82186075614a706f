"""The calibration of the guard: its plan, what befalls scans, where labels are read, records and numbers."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import guard, guard_table
from benchmarks import guard_records as records
from benchmarks import guard_stacks as stacks
from benchmarks.guard_adaptation import adapt, climb, target_scans
from benchmarks.guard_judging import signals_record, verdict
from benchmarks.guard_plan import ABSENT, HALVES, KINDS, METHODS, OTHER_PART, TASKS, Run, plan
from benchmarks.guard_results import Judged, correlations, counts, interval
from benchmarks.guard_table import write_table
from benchmarks.guard_truth import true_dice
from benchmarks.guard_worlds import LABELS, World, open_world, world_folder
from monai_sfda.catalog import ABDOMEN, find_task
from monai_sfda.data.cache import CachedVolume
from monai_sfda.data.case import Case
from monai_sfda.errors import SettingError
from monai_sfda.files import tensor_file
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.methods import create_method
from monai_sfda.release import Release
from monai_sfda.transforms import clamp_edges
from monai_sfda.transforms.geometry import slice_grid
from monai_sfda.workflow.refit import network_of
from tests import builders

DEFINITION = {
    "_target_": "monai_sfda.networks.SegmentationNetwork",
    "backbone": {
        "_target_": "monai.networks.nets.UNet",
        "spatial_dims": 2,
        "in_channels": 3,
        "out_channels": 4,
        "channels": [4, 8],
        "strides": [2],
        "norm": "batch",
    },
    "embedding_channels": 4,
    "num_classes": 5,
}


def volume(subject: str, number: int, seed: int, slices: int = 6) -> CachedVolume:
    """Four bright blocks in noise, with their label."""
    rng = np.random.default_rng(seed)
    label = np.zeros((slices, 1, 32, 32), np.uint8)
    for k, (x, y) in enumerate(((4, 4), (4, 18), (18, 4), (18, 18)), start=1):
        label[1:-1, 0, x : x + 9, y : y + 9] = k
    values = torch.from_numpy(label.astype(np.float32) / 4 + rng.normal(0, 0.05, label.shape)).float()
    case = Case(number, subject, (Path("phantom"),), None, "calibration")
    grid = slice_grid((32, 32, slices), np.diag([3.2, 3.2, 5.0, 1.0]), slice_axis=2, pixel_size_mm=3.2)
    stacks_of = clamp_edges(values, 3)
    return CachedVolume(case, stacks_of, torch.from_numpy(label), slices, (32, 32), 0.0512, grid)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Eight subjects to adapt to, two to test on, and a source model that nobody trained."""
    folder = world_folder(tmp_path, "abdomen", 100)
    network = builders.small_network()
    written = builders.release(network, network_def=DEFINITION)
    written.write(folder / "train" / "release")
    labelled = [volume(f"s{i}", i + 1, i) for i in range(8)]
    tested = [volume(f"t{i}", i + 1, 50 + i) for i in range(2)]
    (folder / LABELS).write_bytes(tensor_file({"test": [v.label for v in tested], "absent_test": []}))
    bare = [replace(v, label=None) for v in labelled]
    return World(
        ABDOMEN,
        100,
        folder,
        Release.read(folder / "train" / "release"),
        adaptation=bare,
        test=[replace(v, label=None) for v in tested],
        source=bare[:4],
        absent_adaptation=bare,
        absent_test=(),
        windows=[((0, 2), (2, 4))] * 8,
        shown=[0.1] * 8,
    )


def run_of(**changes: object) -> Run:
    fields = {
        "number": 0,
        "half": "development",
        "task": "abdomen",
        "world": 100,
        "method": "tent",
        "kind": "ordinary",
        "subjects": 5,
        "draw": 0,
        "steps": 8,
        "rate": 1.0,
        "frozen": False,
        "seed": 100,
    }
    return Run(**(fields | changes))  # type: ignore[arg-type]


# ---- the plan


def test_the_plan_is_the_same_at_every_call_and_its_halves_share_no_world() -> None:
    first, again = (list(itertools.islice(plan(), 400)) for _ in range(2))
    assert first == again
    worlds = {half: {run.world for run in first if run.half == half} for half in HALVES}
    assert not worlds["development"] & worlds["held_out"]
    assert len({run.name for run in first}) == 400


def test_a_round_has_every_task_and_method_of_both_halves_once() -> None:
    cells = len(HALVES) * len(TASKS) * len(METHODS)
    runs = list(itertools.islice(plan(), cells))
    assert Counter((r.half, r.task, r.method) for r in runs) == Counter(
        itertools.product(HALVES, TASKS, METHODS)
    )


def test_kinds_come_in_their_shares_and_only_where_they_are_possible() -> None:
    runs = list(itertools.islice(plan(), 1344))
    cards = sum(kind.cards for kind in KINDS.values())
    for name, kind in KINDS.items():
        share = sum(run.kind == name for run in runs) / len(runs)
        assert share == pytest.approx(kind.cards / cards, abs=0.02), name
    assert not [run for run in runs if run.method == "adabn" and KINDS[run.kind].settings]
    assert not [run for run in runs if run.kind == "absent" and run.task not in ABSENT]
    assert not [run for run in runs if run.kind == "corrupted" and run.subjects == 1]


def test_structures_and_tasks_that_the_plan_names_exist() -> None:
    assert all(ABSENT[task] in find_task(task).labels for task in ABSENT)
    assert {find_task(task).name for task in OTHER_PART.values()} <= set(TASKS)


def test_harmful_settings_are_a_hundred_and_a_thousand_times_the_ordinary_ones() -> None:
    ordinary, rate, weight = (
        run_of(method="sfs", kind=kind).method_settings for kind in ("ordinary", "rate_100", "lambda_1000")
    )
    assert rate["learning_rate"] == pytest.approx(100 * ordinary["learning_rate"])
    assert weight["swd_weight"] == pytest.approx(1000 * create_method("sfs").settings.swd_weight)


# ---- scans


def test_guard_and_adaptation_share_no_subject_from_three_subjects_on(world: World) -> None:
    scans = target_scans(run_of(), world, lambda task: world)
    sets = [{v.case.subject for v in s.volumes} for s in (scans.adaptation, scans.guard)]
    assert not sets[0] & sets[1]
    assert [len(s) for s in sets] == [3, 2]
    few = target_scans(run_of(subjects=2), world, lambda task: world)
    assert few.adaptation.digest() == few.guard.digest()


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("absent",)])
def test_no_kind_gives_labels_or_what_is_not_finite(world: World, kind: str) -> None:
    scans = target_scans(run_of(kind=kind), world, lambda task: world)
    for given in (scans.adaptation, scans.guard):
        assert "label" not in given[0]
        assert given.presence() is None
        assert all(bool(v.image.isfinite().all()) for v in given.volumes)
        assert all(v.image.shape[1] - 2 == v.num_slices == v.grid.num_slices for v in given.volumes)


def test_one_scan_alone_is_corrupted(world: World) -> None:
    good, bad = (target_scans(run_of(kind=k), world, lambda task: world) for k in ("ordinary", "corrupted"))
    pairs = [
        pair
        for a, b in ((good.adaptation, bad.adaptation), (good.guard, bad.guard))
        for pair in zip(a.volumes, b.volumes, strict=True)
    ]
    assert sum(not torch.equal(one.image, other.image) for one, other in pairs) == 1


def test_an_organ_that_is_absent_is_neither_in_label_nor_image() -> None:
    before = volume("s", 1, 0)
    after = stacks.without_organ(before, 4, 3, np.random.default_rng(0))
    assert before.label is not None
    assert after.label is not None
    organ = before.label[:, 0] == 4
    assert not bool((after.label == 4).any())
    found, there = (stacks.slices_of(v, 3)[:, 0] for v in (after, before))
    assert float(found[organ].mean()) == pytest.approx(
        0.0, abs=0.02
    )  # the background's value, where it was 1
    assert torch.equal(found[~organ], there[~organ])


def test_windows_show_least_and_most() -> None:
    share = np.array([0.0, 0.1, 0.2, 0.9, 0.8, 0.7, 0.1, 0.0, 0.0])
    assert stacks.windows(share) == ((6, 9), (3, 6))


def test_another_tasks_scan_takes_size_channels_and_range_of_this_one() -> None:
    stranger = replace(volume("s", 1, 0), image=torch.rand(1, 8, 20, 40) * 500)
    like = replace(volume("s", 1, 1), image=torch.rand(4, 6, 32, 32))
    fitted = stacks.fitted(stranger, 3, like, 1)
    assert fitted.image.shape == (4, 6, 32, 32)
    assert fitted.grid == replace(like.grid, scan_shape=(32, 32, 6))
    assert float(fitted.image.amax()) == pytest.approx(float(like.image.amax()), rel=1e-5)


def test_wrong_sign_turns_every_loss_round(world: World) -> None:
    batch = {"image": torch.rand(2, 3, 32, 32)}
    losses = []
    for turned in (False, True):
        method = create_method("adaent")
        method.setup(network_of(world.release), world.release)
        if turned:
            climb(method)
        losses.append(method.step(batch, torch.Generator().manual_seed(0)))
    assert losses[0].keys() == losses[1].keys()
    assert all(
        float(losses[0][name].detach()) == pytest.approx(-float(losses[1][name].detach()))
        for name in losses[0]
    )


# ---- truth, signals, verdict


def test_labels_are_read_by_the_truth_alone() -> None:
    folder = builders.REPOSITORY / "benchmarks"
    reading = {
        path.name
        for path in folder.glob("guard*.py")
        if "read_test_labels" in path.read_text(encoding="utf-8")
    }
    assert reading == {"guard_truth.py", "guard_worlds.py"}


def test_true_dice_of_a_perfect_segmentation_is_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(world.release)
    calls = iter([volume(f"t{i}", i + 1, 50 + i).label for i in range(2)])

    def perfect(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        label = next(calls)
        assert label is not None
        return torch.nn.functional.one_hot(label[::2, 0].long(), 5).movedim(-1, 1).float()

    monkeypatch.setattr(type(network), "forward", perfect)
    scores = true_dice(world, world.release.state_dict)
    assert scores["mean"] == pytest.approx(1.0)
    assert set(scores["per_class"]) == {"liver", "right_kidney", "left_kidney", "spleen"}


def test_a_run_gives_candidates_truth_signals_and_verdict(world: World) -> None:
    run = run_of()
    scans = target_scans(run, world, lambda task: world)
    candidates = adapt(run, world, scans.adaptation)
    assert list(candidates) == ["epoch_0001", "epoch_0002", "epoch_0003", "last"]
    again = adapt(run, world, scans.adaptation)
    assert all(torch.equal(again["last"][name], t) for name, t in candidates["last"].items())
    assert 0 <= true_dice(world, candidates["last"])["mean"] <= 1
    record = signals_record(run, world, lambda task: world, candidates)
    assert list(record["candidates"]) == ["unadapted", *candidates]
    assert {name for scan in record["candidates"]["last"] for name in scan["values"]} <= set(SIGNALS)
    found = verdict(run, record, world.release.class_ratio)
    assert found.chosen in record["candidates"]
    assert verdict(replace(run, subjects=1), record, world.release.class_ratio).verdict != "accept"


def test_a_run_that_diverges_fails_as_it_would_for_a_user(world: World) -> None:
    run = run_of(method="adaent", kind="wrong_sign", steps=40, rate=1e30)
    with pytest.raises(SettingError, match=r"finite|nan|inf"):
        adapt(run, world, target_scans(run, world, lambda task: world).adaptation)


# ---- records and numbers


def test_records_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    for number in range(3):
        records.append(path, {"name": str(number), "text": "x" * 70000})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert [r["name"] for r in records.read(path)] == ["0", "1"]
    records.append(path, {"name": "3"})
    assert [r["name"] for r in records.read(path)] == ["0", "1", "3"]


def test_records_of_another_plan_are_refused() -> None:
    record = {"name": "00000-x", "run": run_of().to_json()}
    records.require_same_plan(record, run_of().to_json())
    with pytest.raises(SettingError, match="another plan"):
        records.require_same_plan(record, run_of(steps=9).to_json())


@pytest.mark.parametrize(("successes", "of"), [(0, 300), (2, 300), (9, 10), (10, 10)])
def test_intervals_are_those_of_scipys_exact_test(successes: int, of: int) -> None:
    expected = stats.binomtest(successes, of).proportion_ci(method="exact")
    assert interval(successes, of) == pytest.approx((expected.low, expected.high))


def judged(change: float, verdict: str, chosen: str = "last", **run: object) -> Judged:
    changes = {"unadapted": 0.0, "epoch_0001": change / 2, "last": change}
    signals = {name: {"entropy": -2 * value} for name, value in changes.items() if name != "unadapted"}
    return Judged(run_of(**run), changes, 0.5, verdict, chosen, "last", changes, signals)


def test_counts_of_harm_gain_and_regret() -> None:
    runs = [
        judged(-0.10, "accept"),  # harm let through
        judged(-0.10, "reject", "unadapted"),
        judged(-0.02, "unsure", "unadapted", subjects=2),
        judged(0.004, "reject", "unadapted"),
        judged(0.08, "accept"),
        judged(0.06, "reject", "unadapted"),
    ]
    found = counts(runs)
    assert (found["harmful"], found["others"], found["neither"]) == (3, 3, 1)
    assert (found["harmful_accepted"]["count"], found["harmful_accepted"]["of"]) == (1, 3)
    assert (found["harmful_enough_accepted"]["count"], found["harmful_enough_accepted"]["of"]) == (1, 2)
    assert (found["gains_accepted"]["count"], found["gains_accepted"]["of"]) == (1, 2)
    # of the five runs with three subjects and more: lost 0.10, 0, 0.004, 0, 0.06
    assert found["regret"]["published"] == pytest.approx(0.164 / 5)
    assert found["regret"]["last"] == pytest.approx(0.20 / 5)


def test_correlation_is_one_where_a_signal_ranks_as_the_truth_and_leaves_out_who_optimises_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [judged(0.01 * i, "reject", "unadapted", method="adabn") for i in range(-6, 7)]
    found = correlations(runs)["entropy"]
    assert found["pooled"] == pytest.approx(-1.0)
    assert found["within_task"] == pytest.approx(-1.0)
    monkeypatch.setattr("monai_sfda.methods.AdaBN.optimises", frozenset({"entropy"}))
    assert "entropy" not in correlations(runs)


def test_the_table_is_written_from_records(world: World, tmp_path: Path) -> None:
    run = run_of()
    candidates = adapt(run, world, target_scans(run, world, lambda task: world).adaptation)
    dice = {"unadapted": 0.5} | dict.fromkeys(candidates, 0.6)
    scores = {name: {"mean": value, "per_class": {}} for name, value in dice.items()}
    records.append(tmp_path / records.RUNS, {"name": run.name, "run": run.to_json(), "dice": scores})
    failed = run_of(number=1)
    records.append(tmp_path / records.RUNS, {"name": failed.name, "run": failed.to_json(), "failed": "x"})
    records.append(tmp_path / records.SIGNALS, signals_record(run, world, lambda task: world, candidates))
    text = write_table(tmp_path, tmp_path / "results")
    assert "not for diagnosis" in text
    assert "1 further runs ended with an error" in text
    assert "| development worlds | 0 | 1 |" in text
    written = {path.name for path in (tmp_path / "results").iterdir()}
    assert written == {"guard.json", "guard.md", "guard.png", "guard_runs.jsonl"}


@pytest.mark.long
def test_a_world_is_made_run_and_judged_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [run for run in itertools.islice(plan(), 84) if run.task == "cardiac" and run.world == 100][:2]
    monkeypatch.setattr(guard, "planned", lambda limit, half, seeds: chosen)
    monkeypatch.setattr(guard_table, "HERE", tmp_path / "results")
    monkeypatch.setitem(OTHER_PART, "cardiac", "cardiac")  # one world is enough

    def command(step: str, *more: str) -> None:
        monkeypatch.setattr("sys.argv", ["guard", step, "--out", str(tmp_path), *more])
        guard.main()

    command("worlds")
    world = open_world(tmp_path, "cardiac", 100)
    assert len({v.case.subject for v in world.adaptation}) == 10
    tested = {v.case.subject for v in world.test}
    assert len(tested) == 6
    assert not tested & {v.case.subject for v in world.adaptation}
    assert all(v.label is None for v in (*world.adaptation, *world.test, *world.source))
    command("worlds", "--again")
    open_world.cache_clear()
    assert open_world(tmp_path, "cardiac", 100).release.model_sha256 == world.release.model_sha256
    command("run", "--limit", "84")
    command("signals")
    capsys.readouterr()
    command("run")
    command("signals")
    assert capsys.readouterr().out == ""  # nothing is done twice
    command("table")
    assert "| development worlds |" in capsys.readouterr().out
    assert (tmp_path / "results" / "guard.png").is_file()

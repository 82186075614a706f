"""Calibration of the guard on phantoms: many small adaptations, harmful ones too, judged without a label.

Four steps, each resumable; a killed one goes on where it stopped:

    python -m benchmarks.guard worlds --out runs/guard --rounds 16    # phantoms and source models
    python -m benchmarks.guard run --out runs/guard --limit 1300      # adaptations, and their true Dice
    python -m benchmarks.guard signals --out runs/guard               # signals of every candidate
    python -m benchmarks.guard table --out runs/guard                 # verdicts, counts, correlations, figure

The weights of all candidates are kept, so that a new signal needs `signals --again` alone (after
`worlds --again` where it needs more of the releases), and a new rule or threshold `table` alone. True labels
are read in `guard_truth` and nowhere else: methods and guard get stacks that have none. Phantoms: not for
diagnosis.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks import guard_records as records
from benchmarks.guard_adaptation import adapt, be_quiet, target_scans
from benchmarks.guard_judging import load_candidates, opener, signals_record
from benchmarks.guard_plan import HALVES, METHODS, OTHER_PART, TASKS, Run, plan
from benchmarks.guard_table import write_table
from benchmarks.guard_truth import Scores, true_dice
from benchmarks.guard_worlds import is_made, make_world, open_world, renew_release
from monai_sfda.errors import CheckpointError, SfdaError
from monai_sfda.files import tensor_file, write_atomically

_A_ROUND = len(HALVES) * len(TASKS) * len(METHODS)
Record = dict[str, Any]


def planned(limit: int, half: str | None, seeds: Collection[int] = ()) -> list[Run]:
    """The first runs of the plan, of both halves or one, of all worlds or those of some seeds."""
    runs = itertools.islice(plan(), limit)
    return [run for run in runs if half in (None, run.half) and (not seeds or run.world in seeds)]


def weights_file(out: Path, run: Run) -> Path:
    """Where a run's candidates are kept."""
    return out / "weights" / f"{run.name}.pt"


def run_record(out: Path, run: Run) -> Record:
    """One adaptation with the true Dice of its candidates; keeps their weights."""
    start = time.perf_counter()
    world = open_world(out, run.task, run.world)
    scans = target_scans(run, world, opener(out, run.world)).adaptation
    record: Record = {"name": run.name, "run": run.to_json(), "settings": run.method_settings}
    record |= {"model_sha256": world.release.model_sha256}
    try:
        candidates = adapt(run, world, scans)
    except SfdaError as error:
        return record | {"failed": error.what, "seconds": {"adaptation": _since(start)}}
    adapted = time.perf_counter()
    write_atomically(weights_file(out, run), tensor_file(candidates))
    absent = run.kind == "absent"
    dice = {"unadapted": _unadapted(out, run.task, run.world, absent)}
    dice |= {name: true_dice(world, weights, absent=absent) for name, weights in candidates.items()}
    seconds = {"adaptation": round(adapted - start, 2), "truth": _since(adapted)}
    return record | {"dice": dice, "seconds": seconds}


@cache
def _unadapted(out: Path, task: str, seed: int, absent: bool) -> Scores:
    world = open_world(out, task, seed)
    return true_dice(world, world.release.state_dict, absent=absent)


def judged_record(out: Path, model_sha256: Mapping[str, str], run: Run) -> Record:
    """Signals of a run's candidates.

    Raises:
        CheckpointError: when the world's source model is no longer the one that the run adapted.
    """
    world = open_world(out, run.task, run.world)
    if world.release.model_sha256 != model_sha256[run.name]:
        raise CheckpointError(
            f"run {run.name} adapted another source model than the world's", remedy="use another --out"
        )
    return signals_record(run, world, opener(out, run.world), load_candidates(weights_file(out, run)))


def _possible(out: Path, run: Run) -> bool:
    """Whether the worlds that a run needs are made; it waits for the next call otherwise."""
    tasks = [run.task, OTHER_PART[run.task]] if run.kind == "body_part" else [run.task]
    return all(is_made(out, task, run.world) for task in tasks)


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 2)


def _prepare_process(niceness: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    os.nice(niceness)
    be_quiet()


def work_through(
    runs: Iterable[Run], do: Callable[[Run], Record], path: Path, workers: int, seconds: float | None
) -> None:
    """Makes the records of runs and appends them as they come; stops after some seconds.

    A fault of one run is shown and does not stop the others; the run is tried again at the next call.
    """
    start, done = time.monotonic(), 0
    runs = list(runs)

    def over() -> bool:
        return seconds is not None and time.monotonic() - start > seconds

    def keep(made: Callable[[], Record]) -> None:
        nonlocal done
        done += 1
        try:
            record = made()
        except Exception:
            traceback.print_exc()
            return
        records.append(path, record)
        line = (
            f"{done} of {len(runs)}, {time.monotonic() - start:.0f} s: {record['name']} {_in_short(record)}"
        )
        print(line, flush=True)

    if workers == 1:
        for run in itertools.takewhile(lambda _: not over(), runs):
            keep(partial(do, run))
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_prepare_process, initargs=(0,)
    ) as pool:
        for batch in (runs[i : i + 4 * workers] for i in range(0, len(runs), 4 * workers)):
            if over():
                return
            for future in [pool.submit(do, run) for run in batch]:
                keep(future.result)


def _in_short(record: Record) -> str:
    if "failed" in record:
        return f"failed: {record['failed']}"
    if "dice" in record:
        values = [entry["mean"] for entry in record["dice"].values()]
        return " ".join("none" if value is None else f"{value:.3f}" for value in values)
    return ""


def make_worlds(out: Path, rounds: int, half: str | None, again: bool, seeds: Collection[int] = ()) -> None:
    """Makes the worlds that the first rounds need, those of other body parts among them.

    Args:
        out: folder of the calibration.
        rounds: of the plan.
        half: of the population; None for both.
        again: make the statistics in the releases of worlds that are there again.
        seeds: of the worlds; empty for all.
    """
    needed: dict[tuple[int, str], None] = {}
    for run in planned(rounds * _A_ROUND, half, seeds):
        needed[run.world, run.task] = None
        needed[run.world, OTHER_PART[run.task]] = None
    for number, (seed, task) in enumerate(sorted(needed), start=1):
        start = time.monotonic()
        try:
            renew_release(out, task, seed) if again and is_made(out, task, seed) else make_world(
                out, task, seed
            )
        except SfdaError:  # the others can be made all the same
            traceback.print_exc()
            continue
        took = time.monotonic() - start
        print(f"world {number} of {len(needed)}: {task} {seed}, {took:.0f} s", flush=True)


def main() -> None:
    """Does one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("worlds", "run", "signals", "table"))
    parser.add_argument("--out", type=Path, required=True, help="folder of worlds, weights and records")
    parser.add_argument("--half", choices=tuple(HALVES), default=None, help="of the population; both")
    parser.add_argument("--limit", type=int, default=16 * _A_ROUND, help="first runs of the plan")
    parser.add_argument("--rounds", type=int, default=16, help="of `worlds`: rounds of the plan they serve")
    parser.add_argument("--seeds", type=int, nargs="+", default=(), help="worlds of these seeds alone")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread")
    parser.add_argument("--seconds", type=float, default=None, help="start no run after so many")
    parser.add_argument(
        "--again",
        action="store_true",
        help="signals of all runs, into a new file; statistics of all worlds' releases",
    )
    parser.add_argument("--nice", type=int, default=0, help="niceness of this process")
    given = parser.parse_args()
    _prepare_process(given.nice)
    out = given.out.resolve()
    if given.step == "worlds":
        make_worlds(out, given.rounds, given.half, given.again, given.seeds)
        return
    if given.step == "table":
        print(write_table(out))
        return
    recorded = records.by_name(out / records.RUNS)
    runs = planned(given.limit, given.half, given.seeds)
    for run in runs:
        if run.name in recorded:
            records.require_same_plan(recorded[run.name], run.to_json())
    if given.step == "run":
        left = [run for run in runs if run.name not in recorded and _possible(out, run)]
        work_through(left, partial(run_record, out), out / records.RUNS, given.workers, given.seconds)
        return
    path = out / records.SIGNALS
    if given.again and path.is_file():
        number = sum(1 for _ in out.glob("signals_before_*.jsonl")) + 1
        path.rename(out / f"signals_before_{number}.jsonl")
    scored = records.by_name(path)
    left = [
        run
        for run in runs
        if run.name in recorded and "failed" not in recorded[run.name] and run.name not in scored
    ]
    left.sort(key=lambda run: (run.number // _A_ROUND, run.world, run.task))
    models = {run.name: recorded[run.name]["model_sha256"] for run in left}
    work_through(left, partial(judged_record, out, models), path, given.workers, given.seconds)


if __name__ == "__main__":
    main()

"""The `monai-sfda` command. Heavy imports wait until a command needs them, so that help comes at once."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from monai_sfda import __version__
from monai_sfda.ablations import ABLATIONS, find_ablations
from monai_sfda.catalog import TASKS
from monai_sfda.cli_models import models
from monai_sfda.cli_release import release
from monai_sfda.cli_serve import serve, users
from monai_sfda.cli_shift import drift, shift
from monai_sfda.errors import SettingError, SfdaError, nearest

_TASKS = f"One of {', '.join(TASKS)}."

app = typer.Typer(
    name="monai-sfda",
    help="Source-free domain adaptation of segmentation models. Research software: not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models)
app.command()(shift)
app.command()(drift)
app.add_typer(release)
app.command()(serve)
app.add_typer(users)


def _show_version(value: bool) -> None:
    if value:
        print(f"monai-sfda {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Source-free domain adaptation of medical segmentation models. Research software: not for diagnosis."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for phantoms, runs and reports.")] = Path("runs/demo"),
    subjects: Annotated[int, typer.Option(min=4, help="Phantom subjects a domain.")] = 12,
    seed: Annotated[int, typer.Option(help="Of phantoms, training and adaptation.")] = 0,
    bundles: Annotated[Path | None, typer.Option(help="Folder that holds the bundles.")] = None,
) -> None:
    """Run the whole job on abdomen phantoms: train on MR, release, adapt to CT with SFS, evaluate, report."""
    from monai_sfda.workflow.demo import run_demo

    run_demo(out, subjects=subjects, seed=seed, bundles=bundles)


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist or be empty.")],
    task: Annotated[
        str,
        typer.Option(
            help="What is written, in its official layouts: abdomen, cardiac, brain, spine or street."
        ),
    ] = "abdomen",
    subjects: Annotated[int, typer.Option(min=1, help="Subjects a domain, or a tumour grade.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed writes the same scans.")] = 0,
    matrix: Annotated[
        int | None, typer.Option(min=32, help="In-plane pixels; by default the task's own.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
) -> None:
    """Write simulated scans with labels in a data set's official layout. Phantom data, not patient data."""
    from tqdm import tqdm

    from monai_sfda.phantom import write_phantoms

    with tqdm(total=0, desc="phantoms", unit="scan") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_phantoms(task, out, subjects, seed, matrix=matrix, workers=workers, progress=progress)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with the unpacked downloads.")],
    task: Annotated[str, typer.Option(help=_TASKS, metavar="NAME")] = "abdomen",
    datalist: Annotated[Path | None, typer.Option(help="JSON that replaces the official layouts.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Unlabelled target scans in no layout, as for target_images.")
    ] = False,
) -> None:
    """Say what is found, missing or wrong in a download; exit status 1 when a job could not start."""
    from rich.console import Console

    from monai_sfda.catalog import find_task
    from monai_sfda.workflow.check import check_data
    from monai_sfda.workflow.check_page import check_page

    found = find_task(task)
    with Console(stderr=True).status("looking") as status:
        result = check_data(
            found,
            folder,
            datalist=datalist,
            plain=plain,
            progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
        )
    print(check_page(result, found, width=min(shutil.get_terminal_size((120, 50)).columns, 160)))
    if any(result.faults.values()):
        raise typer.Exit(1)


@app.command()
def benchmark(
    out: Annotated[Path, typer.Option(help="Folder of all runs; the same one goes on with what is missing.")],
    task: Annotated[str, typer.Option(help=_TASKS, metavar="NAME")] = "abdomen",
    ablation: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(ABLATIONS)}; all: the task's.", metavar="NAMES")
    ] = "",
    methods: Annotated[
        str, typer.Option(help="Comma-separated methods to compare, e.g. none,sfs.", metavar="NAMES")
    ] = "",
    seeds: Annotated[
        str, typer.Option(help="Comma-separated: of phantoms, training and adaptation.", metavar="NUMBERS")
    ] = "0,1,2",
    subjects: Annotated[int, typer.Option(min=4, help="Phantom subjects a domain.")] = 12,
    data: Annotated[Path | None, typer.Option(help="Labelled data set instead of phantoms.")] = None,
    datalist: Annotated[Path | None, typer.Option(help="JSON that replaces the official layouts.")] = None,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="The papers' size, for a GPU, without small.json.")
    ] = False,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard", help="Keep scans back for the guard, and show its choice beside each method."
        ),
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, a configuration key of every run. Repeatable."),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Folder that takes tables, JSON and figures too.")
    ] = None,
    bundles: Annotated[Path | None, typer.Option(help="Folder that holds the bundles.")] = None,
) -> None:
    """Compare ablations or methods over seeds: a table, JSON and a figure each. Interrupted, it goes on."""
    from monai_sfda.catalog import find_task

    chosen = find_ablations(_words(ablation), find_task(task).name)
    compared = _words(methods)
    if not chosen and not compared:
        raise SettingError("nothing is compared", remedy="add --ablation all, or --methods none,sfs")
    numbers = tuple(_seed(word) for word in _words(seeds))
    overrides = {}
    for item in setting or []:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise SettingError(f"setting '{item}' is not understood", remedy="write KEY=VALUE")
        overrides[name] = value

    from monai_sfda.benchmark.run import Benchmark, method_comparison, run_benchmark

    asked = Benchmark(
        task,
        out,
        seeds=numbers,
        subjects=subjects,
        data=data,
        datalist=datalist,
        bundles=bundles,
        full_size=full_size,
        overrides=overrides,
        record=record,
        guard=guard,
    )
    run_benchmark(asked, [*chosen, *([method_comparison(compared, task)] if compared else [])])


def _words(text: str) -> tuple[str, ...]:
    """The words of a comma-separated option."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _seed(word: str) -> int:
    if not word.isdecimal():
        raise SettingError(
            f"seed '{word}' is no whole number", remedy="separate seeds by commas, e.g. --seeds 0,1,2"
        )
    return int(word)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder that adapt.json wrote.")],
    result: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FOLDER, an evaluation; 'unadapted', 'adapted', 'bound' are compared, others are shown "
            "beside them. Repeatable."
        ),
    ] = None,
    phantom_data: Annotated[bool, typer.Option("--phantom", help="Say that the scans are phantoms.")] = False,
) -> None:
    """Write report.html of an adaptation again, with the evaluations that have come since."""
    from monai_sfda.evaluation.comparison import RESULT_NAMES, result_name
    from monai_sfda.workflow.report import report_of_run

    results: dict[str, Path] = {}
    for item in result or []:
        name, _, folder = item.partition("=")
        if not name or not folder:
            raise SettingError(
                f"result '{item}' is not understood", remedy="write NAME=FOLDER, e.g. adapted=runs/evaluate"
            )
        results[result_name(name)] = Path(folder)
    for name in results:
        if name not in RESULT_NAMES:
            print(
                f"monai_sfda: note: result '{name}' is shown but not compared; compared are "
                f"{', '.join(nearest(name, RESULT_NAMES))}",
                file=sys.stderr,
            )
    print(report_of_run(run, results, phantom=phantom_data))


def main() -> None:
    """Entry point: our errors are one line and exit status 1."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except SfdaError as error:
        print("monai_sfda: error: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""`monai-sfda models`: the model store on the command line. Needs no torch, so that going back is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from monai_sfda.errors import StoreError
from monai_sfda.store import ModelStore, Version

models = typer.Typer(
    name="models",
    help="Versions of models: publish, activate, roll back. Research software: not for diagnosis.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Store = Annotated[Path, typer.Option(help="Folder of the model store.", envvar="MONAI_SFDA_STORE")]
Model = Annotated[str, typer.Argument(help="Name of a model; 'list' shows them.")]
By = Annotated[str | None, typer.Option(help="Who does it; by default the operating system's user.")]
Force = Annotated[bool, typer.Option("--force", help="Activate although the guard rejected it.")]
Reason = Annotated[str | None, typer.Option(help="Why; kept in the log.")]


@models.command()
def publish(
    run: Annotated[Path, typer.Argument(help="Output of train.json or adapt.json, or a source bundle.")],
    store: Store,
    model: Annotated[str | None, typer.Option(help="Name in the store; by default the task's.")] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Make it active at once.")] = False,
    force: Force = False,
    reason: Reason = None,
    by: By = None,
    last_weights: Annotated[
        bool, typer.Option("--last-weights", help="The method's last weights, whatever the guard chose.")
    ] = False,
) -> None:
    """Copy a model into the store, as a candidate; the first one, a source model, becomes active."""
    opened = ModelStore(store, by=by)
    version = opened.publish(
        run, model=model, activate=activate, force=force, reason=reason, last_weights=last_weights
    )
    is_active = opened.active(version.model).number == version.number
    print(f"version {version.number} of {version.model} is {'active' if is_active else 'a candidate'}")
    if version.is_unadapted:
        print(
            f"verdict {version.verdict}: it holds the unadapted weights of version {version.parent}; "
            "--last-weights publishes what the method came to"
        )


@models.command("list")
def list_models(store: Store) -> None:
    """Show all versions of all models, and which ones are active."""
    opened = ModelStore(store)
    for model in opened.models():
        active, back = opened.active(model).number, opened.previous(model)
        table = _table(model, "", "kind", "parent", "method", "verdict", "published (UTC)", "by", "notes")
        for version in opened.versions(model):
            state = "active" if version.number == active else ""
            if back is not None and version.number == back.number:
                state = "rollback"
            table.add_row(
                str(version.number),
                state,
                version.kind,
                _or_dash(version.parent),
                _or_dash(version.manifest["method"]),
                _or_dash(version.verdict),
                _minute(version.published["at"]),
                _or_dash(version.published["by"]),
                ", ".join(_notes(version)),
            )
        _print(table)


@models.command()
def show(
    model: Model,
    store: Store,
    number: Annotated[int | None, typer.Argument(help="Version; by default the active one.")] = None,
) -> None:
    """Show where a version came from and where its files are."""
    opened = ModelStore(store)
    version = opened.active(model) if number is None else opened.version(model, number)
    manifest = version.manifest
    rows = {
        "model": f"{model}, task {manifest['task']}",
        "version": f"{version.number}{', active' if opened.active(model).number == version.number else ''}",
        "kind": version.kind,
        "method": manifest["title"],
        "verdict": _or_dash(version.verdict),
        "adapted from version": _or_dash(version.parent),
        "published": f"{_minute(version.published['at'])} UTC by {_or_dash(version.published['by'])}",
        "notes": ", ".join(_notes(version)) or "-",
        "weights, SHA-256": manifest["model_sha256"],
        "made with": ", ".join(f"{name} {value}" for name, value in manifest["versions"].items()),
        "bundle": str(version.bundle),
        "report": str(version.report) if version.report is not None else "-",
        "intended use": manifest["intended_use"],
    }
    for name, value in rows.items():
        print(f"{name + ':':22}{value}")


@models.command()
def activate(
    model: Model,
    number: Annotated[int, typer.Argument(help="Version.")],
    store: Store,
    force: Force = False,
    reason: Reason = None,
    by: By = None,
) -> None:
    """Make a version active, after its files were verified."""
    version = ModelStore(store, by=by).activate(model, number, force=force, reason=reason)
    print(f"version {version.number} of {model} is active")


@models.command()
def rollback(model: Model, store: Store, reason: Reason = None, by: By = None) -> None:
    """Make the version active that was active before."""
    version = ModelStore(store, by=by).rollback(model, reason=reason)
    print(f"version {version.number} of {model} is active")


@models.command()
def verify(
    store: Store, model: Annotated[str | None, typer.Argument(help="A model; by default all.")] = None
) -> None:
    """Compute every file's hash again; exit status 1 when a version is not whole."""
    opened = ModelStore(store)
    broken = 0
    for name in opened.models() if model is None else [model]:
        found = opened.verify(name)
        for number, faults in found.items():
            print(*(f"version {number} of {name}: {fault}" for fault in faults), sep="\n")
        broken += len(found)
        if damaged := opened.log(name).damaged:
            print(f"log of {name}: damaged lines: {damaged}; a machine that lost power may leave one")
        if not found:
            print(f"{name}: {len(opened.versions(name))} versions are whole")
    if broken:
        raise StoreError(
            f"versions that are not whole: {broken}",
            remedy="put their folders back from a backup, or activate another version",
        )


@models.command()
def prune(
    model: Model,
    store: Store,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest stay.")] = 5,
    by: By = None,
) -> None:
    """Remove old versions, never the active one, the one to roll back to, or a source model."""
    gone = ModelStore(store, by=by).prune(model, keep)
    print(f"removed versions of {model}: {', '.join(str(n) for n in gone) or 'none'}")


@models.command()
def log(model: Model, store: Store) -> None:
    """Show who changed what when."""
    found = ModelStore(store).log(model)
    table = _table("when (UTC)", "what", "version", "before", "by", "reason")
    for change in found.changes:
        forced = " (forced)" if change.get("forced") else ""
        table.add_row(
            str(change["at"])[:19].replace("T", " "),
            f"{change['action']}{forced}",
            str(change["version"]),
            _or_dash(change.get("before")),
            _or_dash(change["by"]),
            _or_dash(change.get("reason")),
        )
    _print(table)
    if found.damaged:
        print(f"damaged lines: {found.damaged}")


def _table(*columns: str) -> Table:
    """A table whose last columns, names and words of users, are folded first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, no_wrap=place < len(columns) - 2, overflow="fold")
    return table


def _print(table: Table) -> None:
    # Piped into another program, a table has the room that it needs.
    width = None if sys.stdout.isatty() else 160
    Console(highlight=False, markup=False, width=width).print(table)


def _notes(version: Version) -> list[str]:
    manifest = version.manifest
    notes = ["phantom"] if manifest["phantom"] else []
    notes += ["unadapted weights"] if version.is_unadapted else []
    notes += ["read target labels"] if manifest["target_labels_read"] else []
    return notes + (["read source scans"] if manifest["source_data_read"] and not version.is_source else [])


def _or_dash(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")

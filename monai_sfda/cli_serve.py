"""`monai-sfda serve` and `monai-sfda users`: the MONAI Label server and who may use it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monai_sfda.errors import SettingError

users = typer.Typer(
    name="users",
    help="The file of users for `monai-sfda serve --users`: names, roles and password hashes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_File = Annotated[Path, typer.Argument(help="File of users.")]
_Name = Annotated[str, typer.Argument(help="Of the account.")]
PACS_PASSWORD, PACS_TOKEN = "MONAI_SFDA_PACS_PASSWORD", "MONAI_SFDA_PACS_TOKEN"


def serve(
    studies: Annotated[
        str, typer.Option(help="Folder of scans, or the address of a PACS's DICOMweb service.")
    ],
    users_file: Annotated[
        Path | None, typer.Option("--users", help="File of users; without it: loopback only, no login.")
    ] = None,
    home: Annotated[
        Path,
        typer.Option(
            help="Folder of what the server writes: store, jobs, sessions, downloads, logs. Labels and "
            "uploads lie beside the scans of a folder that can be written to."
        ),
    ] = Path("sfda_home"),
    bundles: Annotated[
        Path | None,
        typer.Option(help="Folder of bundles or run folders to publish into the store at the start."),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Model store; by default HOME/store.")] = None,
    models: Annotated[
        str, typer.Option(help="Models of the store to serve: all, or names with commas.")
    ] = "all",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    names: Annotated[
        str, typer.Option(help="Host names that clients use for this server, with commas.")
    ] = "",
    origins: Annotated[
        str, typer.Option(help="Origins of other sites whose pages may use this server, with commas.")
    ] = "",
    activation: Annotated[
        str, typer.Option(help="manual: a person signs an accepted version off; automatic: nobody has to.")
    ] = "manual",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; by default a GPU if any.")] = None,
    conf: Annotated[
        list[str] | None, typer.Option(help="A further setting of the app: NAME=VALUE. May be repeated.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    behind_proxy: Annotated[
        str | None, typer.Option(help="Address of the reverse proxy whose X-Forwarded-For is believed.")
    ] = None,
    pacs_user: Annotated[
        str | None, typer.Option(help=f"Name at the PACS; the password is taken from ${PACS_PASSWORD}.")
    ] = None,
    pacs_ca: Annotated[
        Path | None, typer.Option(help="Certificates of the PACS's own authority (PEM).")
    ] = None,
    login_hours: Annotated[float, typer.Option(min=0.05, max=72, help="Life of a login.")] = 8.0,
    score_every: Annotated[
        float, typer.Option(min=0, help="Minutes between two looks for studies to score; 0: never.")
    ] = 0.0,
    max_upload_mb: Annotated[int, typer.Option(min=1, help="Largest upload.")] = 2048,
    session_gb: Annotated[float, typer.Option(min=0.01, help="Disk for uploaded scans of all users.")] = 50.0,
    session_gb_user: Annotated[float, typer.Option(min=0.01, help="Disk for those of one user.")] = 10.0,
    waiting: Annotated[int, typer.Option(min=1, max=256, help="Segmentations in hand at once.")] = 8,
) -> None:
    """Serve MONAI Label: segment, correct and adapt from 3D Slicer, OHIF and a PACS. Not for diagnosis."""
    try:
        from monai_sfda.label.server.config import Limits, ServerSettings
        from monai_sfda.label.server.process import serve as run
        from monai_sfda.label.studies.open import Credentials
    except ModuleNotFoundError as error:
        raise SettingError(
            f"the server needs the package '{error.name}'",
            remedy="install the extra: pip install 'monai-sfda[label]' -c constraints.txt",
        ) from error
    given = {
        "bundles": bundles,
        "store": store,
        "models": models,
        "activation": activation,
        "device": device,
        "score_every": score_every or None,
    }
    settings = {name: str(value) for name, value in given.items() if value is not None}
    token, password = os.environ.get(PACS_TOKEN, ""), os.environ.get(PACS_PASSWORD, "")
    has_login = bool(pacs_user or token or pacs_ca)
    status = run(
        ServerSettings(
            studies=studies,
            home=home,
            host=host,
            port=port,
            users=users_file,
            names=_split(names),
            origins=_split(origins),
            conf=settings | _pairs(conf or []),
            credentials=Credentials(pacs_user or "", password, token, pacs_ca) if has_login else None,
            tls_certificate=tls_cert,
            tls_key=tls_key,
            behind_proxy=behind_proxy,
            login_hours=login_hours,
            limits=Limits(
                upload_mb=max_upload_mb,
                session_gb=session_gb,
                session_gb_user=session_gb_user,
                inferences=waiting,
            ),
        ),
        announce=lambda text: print(text, flush=True),
    )
    raise typer.Exit(status)


@users.command()
def add(
    file: _File,
    name: _Name,
    roles: Annotated[str, typer.Option(help="With commas: user, adapter, approver, admin.")] = "user",
) -> None:
    """Add a user, or give one a new password and roles; the password is asked for, or read from a pipe."""
    from monai_sfda.label.server.roles import parse_roles
    from monai_sfda.label.server.users import UserFile

    wanted = parse_roles(roles)
    opened = UserFile(file, create=True)
    opened.add(name, _password(), wanted)
    print(f"{name} may: {', '.join(sorted(wanted))}")


@users.command()
def remove(file: _File, name: _Name) -> None:
    """Remove a user; logins of that user end at once."""
    from monai_sfda.label.server.users import UserFile

    UserFile(file).remove(name)
    print(f"{name} is removed")


@users.command("list")
def list_users(file: _File) -> None:
    """Show the users and their roles."""
    from monai_sfda.label.server.users import UserFile

    opened = UserFile(file)
    for name in opened.names():
        user = opened.find(name)
        print(f"{name}: {', '.join(sorted(user.roles if user is not None else ()))}")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _pairs(given: list[str]) -> dict[str, str]:
    """Settings of `--conf`."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"--conf {text} is no setting", remedy="write it as --conf NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())

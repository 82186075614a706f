"""`monai-sfda release`: what a source release holds, and who signed it."""

from __future__ import annotations

import json
import os
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from monai_sfda.errors import KeyFileError

release = typer.Typer(
    name="release",
    help="Source releases: inspect, sign, verify. Research software: not for diagnosis.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(help="release/ of a run, or models/ of a source bundle.")]


@release.command()
def inspect(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: all that was found.")] = False,
) -> None:
    """Say in plain words all that a release holds, and from how many subjects; changes and runs nothing."""
    from monai_sfda.release_inspection import inspect_release

    found = inspect_release(folder)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, allow_nan=False))
        return
    from monai_sfda.release_page import release_page

    print(release_page(found))


@release.command()
def keygen(
    key: Annotated[Path, typer.Argument(help="File of the private key to write, e.g. site.pem.")],
) -> None:
    """Make a pair of keys: a private one to sign with, and a public one to hand out."""
    from monai_sfda.signing import public_path, write_keys

    made = write_keys(key, _new_passphrase())
    print(f"private key:  {key}  (keep it: readable for its owner alone, and never handed over)")
    print(f"public key:   {public_path(key)}  (hand it out, by another way than the releases)")
    print(f"fingerprint:  {made}")


@release.command()
def sign(
    folder: Folder, key: Annotated[Path, typer.Option(help="File of the source site's private key.")]
) -> None:
    """Sign a release that is whole: writes signature.json into it."""
    from monai_sfda.signing import is_locked, read_private_key, sign_release

    passphrase = _passphrase(key) if is_locked(key) else None
    print(f"signed by {sign_release(folder, read_private_key(key, passphrase))}")


@release.command()
def verify(
    folder: Folder, key: Annotated[Path, typer.Option(help="File of the source site's public key.")]
) -> None:
    """Verify signature and hashes, and that nothing else lies in the folder; exit status 1 otherwise."""
    from monai_sfda.signing import fingerprint, read_public_key, verify_release

    public = read_public_key(key)
    files = verify_release(folder, public)
    print(f"the release is whole and signed by {fingerprint(public)}")
    print(f"files: {', '.join(files)}")


def _passphrase(key: Path) -> bytes:
    """Of a locked key: from the environment, or asked for."""
    from monai_sfda.signing import PASSPHRASE_VARIABLE

    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is None and sys.stdin.isatty():
        given = getpass(f"Passphrase of {key.name}: ")
    if not given:
        raise KeyFileError(
            "the key is locked by a passphrase",
            path=key,
            remedy=f"set {PASSPHRASE_VARIABLE}, or run it in a terminal that can ask",
        )
    return given.encode()


def _new_passphrase() -> bytes | None:
    """Of a key that is being made: from the environment, or asked for twice; None for none."""
    from monai_sfda.signing import PASSPHRASE_VARIABLE

    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is None and sys.stdin.isatty():
        given = getpass("Passphrase of the new key (empty for none): ")
        if given != getpass("The same again: "):
            raise KeyFileError("the two passphrases differ", remedy="run the command again")
    return given.encode() if given else None

"""Ed25519 signatures of source releases (RFC 8032): who made this release, and is it unaltered?

The source site signs the bytes of `release.json`, which hold the SHA-256 of every other file, with a private
key that never leaves it; `signature.json` beside it has the signature. A target site that was given the
public key by another way than the release can tell a release of that site from any other. OpenSSL verifies
the same signature (docs/how_to_sign_a_release.md). Needs no torch.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monai_sfda.errors import KeyFileError, OutputError, SignatureError
from monai_sfda.files import cannot_write, write_atomically, write_json
from monai_sfda.release_files import (
    ASK_AGAIN,
    MANIFEST,
    SIGNATURE,
    check_hashes,
    check_nothing_unexpected,
    listed_files,
    manifest_bytes,
)

PASSPHRASE_VARIABLE = "MONAI_SFDA_KEY_PASSPHRASE"  # noqa: S105  # a name, no passphrase
_ALGORITHM = "Ed25519"
_KEYS = {"schema_version", "algorithm", "signed_file", "public_key_sha256", "public_key", "signature"}


@dataclass(frozen=True)
class Signature:
    """What `signature.json` says.

    Attributes:
        public_key: that it names. Anybody can write a key of his own here: trust comes from comparing it.
        value: 64 bytes.
    """

    public_key: Ed25519PublicKey
    value: bytes

    def covers(self, manifest: bytes) -> bool:
        """Whether the named key signed these bytes."""
        return _is_valid(self.public_key, self.value, manifest)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key's DER form (SubjectPublicKeyInfo), hexadecimal: what two sites compare."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def public_path(private: Path) -> Path:
    """Where `write_keys` puts the public half: `key.pem` has `key.pub.pem`."""
    return private.with_name(f"{private.stem}.pub{private.suffix}")


def write_keys(path: Path, passphrase: bytes | None = None) -> str:
    """Makes a key pair; the private key's file is its owner's alone (mode 0600). Nothing is replaced.

    Args:
        path: of the private key, PEM (PKCS 8); the public key is written beside it, see `public_path`.
        passphrase: locks the private key; None leaves it readable to whoever has the file.

    Returns:
        The fingerprint.

    Raises:
        OutputError: when one of the files is there already, or cannot be written.
    """
    for taken in (path, public_path(path)):
        if taken.exists():
            raise OutputError(
                "the file is there already, and a key that is lost cannot be had again",
                path=taken.name,
                remedy="choose another name",
            )
    key = Ed25519PrivateKey.generate()
    lock: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_private(path, private)
    write_atomically(public_path(path), public)
    return fingerprint(key.public_key())


def read_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """A private key from its PEM file.

    Raises:
        KeyFileError: when the file is missing, damaged, of another kind, or locked by another passphrase.
    """
    text = _read(path)
    if b"PUBLIC KEY" in text:
        raise KeyFileError(
            "the file holds a public key, which cannot sign",
            path=path,
            remedy="give the private key that 'monai-sfda release keygen' wrote",
        )
    try:
        key = serialization.load_pem_private_key(text, passphrase or None)
    except TypeError as error:
        # cryptography's word for a passphrase that is missing, or given for a key that has none
        locked = is_locked(path)
        raise KeyFileError(
            "the key is locked by a passphrase" if locked else "the key has no passphrase, and one was given",
            path=path,
            remedy=f"set {PASSPHRASE_VARIABLE}, or run it in a terminal that can ask"
            if locked
            else f"unset {PASSPHRASE_VARIABLE}",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wrong = is_locked(path) and passphrase
        raise KeyFileError(
            "the passphrase is wrong, or the key is damaged" if wrong else "no private key can be read",
            path=path,
            remedy="give the right one" if wrong else "give a PEM file of 'monai-sfda release keygen'",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _another_kind(key, path)
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """A public key from its PEM file.

    Raises:
        KeyFileError: when the file is missing, damaged, or of another kind; a private key is one.
    """
    text = _read(path)
    if b"PRIVATE KEY" in text:
        raise KeyFileError(
            "the file holds a private key, which belongs to the source site alone",
            path=path,
            remedy="give the public one, and ask for a new pair if this one was sent to you",
        )
    try:
        key = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            "no public key can be read",
            path=path,
            remedy="give the PEM file that the source site made by 'monai-sfda release keygen'",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _another_kind(key, path)
    return key


def is_locked(path: Path) -> bool:
    """Whether a private key's file needs a passphrase."""
    return b"ENCRYPTED" in _read(path)


def sign_release(folder: Path, key: Ed25519PrivateKey) -> str:
    """Signs a release that is whole: every listed file has its hash, and nothing else lies in the folder.

    Args:
        folder: `release/`, or the `models/` of the source bundle: the manifest is the same, and so is the
            signature. An older signature is replaced.
        key: of the source site.

    Returns:
        The fingerprint of the key.

    Raises:
        ReleaseError: when the release is not whole.
        OutputError: when the signature cannot be written.
    """
    manifest = manifest_bytes(folder)
    files = listed_files(manifest, folder)
    check_hashes(folder, files)
    check_nothing_unexpected(folder, files)
    public = key.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    write_json(
        folder / SIGNATURE,
        {
            "schema_version": 1,
            "algorithm": _ALGORITHM,
            "signed_file": MANIFEST,
            "public_key_sha256": fingerprint(public),
            "public_key": base64.b64encode(raw).decode(),
            "signature": base64.b64encode(key.sign(manifest)).decode(),
        },
    )
    return fingerprint(public)


def require_signature(folder: Path, manifest: bytes, key: Ed25519PublicKey) -> None:
    """Refuses a manifest that this key did not sign, and a folder with files that it does not list.

    The hashes of the listed files are not looked at: `Release.read` and `verify_release` do.

    Args:
        folder: of the release.
        manifest: its bytes as they were read, which are then used.
        key: of the source site, from elsewhere than the release.

    Raises:
        SignatureError: when it is not signed, signed by another key, or altered.
        ReleaseError: when there is a file that no hash covers.
    """
    signature = read_signature(folder)
    if signature is None:
        raise SignatureError(
            f"the release is not signed: {SIGNATURE} is missing",
            path=folder,
            remedy="ask the source site to sign it with 'monai-sfda release sign'",
        )
    if not _is_valid(key, signature.value, manifest):
        if fingerprint(signature.public_key) != fingerprint(key) and signature.covers(manifest):
            raise SignatureError(
                f"the release is signed by another key, {fingerprint(signature.public_key)}, not by "
                f"{fingerprint(key)}",
                path=folder,
                remedy="compare the fingerprint with the source site, by telephone for instance",
            )
        raise SignatureError(
            f"the signature does not fit: {MANIFEST} or {SIGNATURE} was altered",
            path=folder,
            remedy=ASK_AGAIN,
        )
    check_nothing_unexpected(folder, listed_files(manifest, folder))


def verify_release(folder: Path, key: Ed25519PublicKey) -> dict[str, str]:
    """Verifies signature, hashes, and that nothing else lies in the folder.

    Returns:
        Name and hash of every listed file.

    Raises:
        SignatureError, ReleaseError: see their texts.
    """
    manifest = manifest_bytes(folder)
    require_signature(folder, manifest, key)
    files = listed_files(manifest, folder)
    check_hashes(folder, files)
    return files


def read_signature(folder: Path) -> Signature | None:
    """What `signature.json` of a release says; None where there is none.

    Raises:
        SignatureError: when it is damaged, or says more than a signature: its other words are not signed.
    """
    path = folder / SIGNATURE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        if set(content) != _KEYS:
            raise ValueError("entries that are missing, or more than a signature's")
        named = (content["schema_version"], content["algorithm"], content["signed_file"])
        if named != (1, _ALGORITHM, MANIFEST):
            raise ValueError("of another kind")
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(content["public_key"], validate=True))
        if content["public_key_sha256"] != fingerprint(key):
            raise ValueError("the fingerprint is not the key's")
        return Signature(key, base64.b64decode(content["signature"], validate=True))
    except (OSError, ValueError, TypeError, KeyError, binascii.Error) as error:
        raise SignatureError(
            f"the signature cannot be read ({type(error).__name__}: {error})", path=path, remedy=ASK_AGAIN
        ) from error


def _is_valid(key: Ed25519PublicKey, signature: bytes, manifest: bytes) -> bool:
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"the key cannot be read ({error.strerror or error})",
            path=path,
            remedy="check that the file is there and may be read",
        ) from error


def _another_kind(key: object, path: Path) -> KeyFileError:
    kind = type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    return KeyFileError(
        f"the key is of the kind {kind}, not {_ALGORITHM}",
        path=path,
        remedy="make one with 'monai-sfda release keygen'",
    )


def _write_private(path: Path, content: bytes) -> None:
    """Like `write_atomically`, but never readable to others, not for a moment."""
    beside = path.with_name(f".{secrets.token_hex(4)}.tmp.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error

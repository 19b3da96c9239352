"""``oathcam stamp``: time-stamp tokens (RFC 3161) for the manifests and checkpoints of a dock's store.

Run beside the dock, by whoever keeps the store; the camera never needs it. Each manifest's signature gets a token as an unsigned
attribute: nothing that was signed changes. Of each camera's newest checkpoint a copy with its token is kept under
``ledger/stamps``: one token over all that the ledger says by then.

The authority is asked over HTTP(S), or by files: ``--queries`` writes ``<imprint>.tsq``, and takes the ``<imprint>.tsr`` that lie
beside them at the next run, so the store's machine needs no network. A token that does not verify is not kept.
"""

from __future__ import annotations

import http.client
import os
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from firmware.custody.checkpoint import Checkpoint
from firmware.custody.note import parse_note
from firmware.errors import FormatError, IntegrityError, OathcamError, RefusedError, UnavailableError, UsageError
from firmware.evidence import cms_token, timestamp
from firmware.evidence.primitives import sha256
from firmware.evidence.verify_store import STAMPS
from firmware.timebase import format_utc
from hal.files import sync_directory
from tools.console import errors, output
from tools.sources import DirectorySource, find_sources, is_in_dock_store, load_roots

TIMEOUT_S = 30
_TEMPORARY = "ledger/.stamp.tmp"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something without a token: its name for people, what is to be stamped (SHA-256), and how its token is kept."""

    name: str
    imprint: bytes
    keep: Callable[[bytes], None]


Ask = Callable[[bytes], tuple[bytes, int] | None]
"""Imprint to (reply, nonce of its query); ``None`` when the reply has yet to come."""


def find_wanted(source: DirectorySource) -> Iterator[Wanted]:
    """Every manifest's signature and the newest checkpoint of one camera, where they carry no token yet."""
    for recording in source.names("vault"):
        name = f"vault/{recording}/manifest.json.p7s"
        if "manifest.json.p7s" not in source.names(f"vault/{recording}"):
            continue
        try:
            signature = source.read(name)
            if not cms_token.unsigned_of(signature).tokens:
                yield Wanted(recording, cms_token.imprint_of(signature), _keeper(source.root, name, signature))
        except (FormatError, UnavailableError) as error:
            errors.print(f"{recording}: not stamped: {error}", soft_wrap=True, highlight=False, markup=False)
    if "checkpoint" in source.names("ledger"):
        data = source.read("ledger/checkpoint")
        name = f"{Checkpoint.from_text(parse_note(data).text).size:012d}.checkpoint"
        if f"{name}.tst" not in source.names(STAMPS):
            yield Wanted(name, sha256(data), _checkpoint_keeper(source.root, name, data))


def _keeper(root: Path, name: str, signature: bytes) -> Callable[[bytes], None]:
    return lambda token: _replace(root, name, cms_token.add_token(signature, token))


def _checkpoint_keeper(root: Path, name: str, data: bytes) -> Callable[[bytes], None]:
    def keep(token: bytes) -> None:
        (root / STAMPS).mkdir(mode=0o750, exist_ok=True)
        _replace(root, f"{STAMPS}/{name}", data)
        _replace(root, f"{STAMPS}/{name}.tst", token)

    return keep


def _replace(root: Path, name: str, data: bytes) -> None:
    """Atomically and durably. The temporary file lies outside the vault, where a file that no signed object names is a finding."""
    temporary, path = root / _TEMPORARY, root / name
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), 0o440)
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def stamp_one(wanted: Wanted, ask: Ask, roots: list[x509.Certificate]) -> bool:
    """Keep one token; False when the reply has yet to come. Raises what is wrong with the reply; then nothing is kept."""
    answer = ask(wanted.imprint)
    if answer is None:
        return False
    token = timestamp.token_of_reply(answer[0])
    stamp = timestamp.verify_token(token, wanted.imprint, roots, answer[1])
    wanted.keep(token)
    output.print(f"{wanted.name}: {format_utc(stamp.time_ns)} by {stamp.authority}", soft_wrap=True, highlight=False, markup=False)
    return True


def ask_url(url: str) -> Ask:
    """RFC 3161 §3.4: the query as the body of a POST. UnavailableError when the authority cannot be reached."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"expected an http or https address, got {url!r}")

    def ask(imprint: bytes) -> tuple[bytes, int]:
        nonce = _new_nonce()
        body = timestamp.build_query(timestamp.Query(imprint, nonce))
        request = urllib.request.Request(url, body, {"Content-Type": "application/timestamp-query"})  # noqa: S310  (checked above)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return answer.read(timestamp.MAX_TOKEN_BYTES + 1), nonce
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"the time-stamp authority {url!r} does not answer: {error}", remedy="Try again later.") from None

    return ask


def ask_files(directory: Path) -> Ask:
    """A query in ``<imprint>.tsq``, its reply in ``<imprint>.tsr``, carried to the authority and back by whoever may."""
    directory.mkdir(parents=True, exist_ok=True)

    def ask(imprint: bytes) -> tuple[bytes, int] | None:
        query, reply = (directory / f"{imprint.hex()}.{ending}" for ending in ("tsq", "tsr"))
        if not query.exists():
            query.write_bytes(timestamp.build_query(timestamp.Query(imprint, _new_nonce())))
        asked = timestamp.parse_query(query.read_bytes())
        return (reply.read_bytes(), asked.nonce) if reply.exists() else None

    return ask


def _new_nonce() -> int:
    return secrets.randbits(8 * timestamp.NONCE_BYTES) | 1


def stamp(
    path: Annotated[Path, typer.Argument(help="A dock's store, or one camera's directory of it.")],
    tsa_root: Annotated[Path, typer.Option(help="Root of the time-stamp authority (PEM): a token that it does not prove is not kept.")],
    tsa_url: Annotated[str, typer.Option(help="Where the authority answers, http or https.")] = "",
    queries: Annotated[Path | None, typer.Option(help="Directory for queries to carry there, and replies brought back.")] = None,
) -> None:
    """Get time-stamp tokens for manifests and checkpoints that have none."""
    if bool(tsa_url) == bool(queries):
        raise UsageError("expected one way to the authority", remedy="Give --tsa-url URL or --queries DIRECTORY.")
    sources = find_sources(path)
    if not all(is_in_dock_store(source.root) for source in sources):
        raise UsageError(f"{str(path)!r} is no dock's store, and only to one is anything added", remedy="Give the dock's --store.")
    roots = load_roots(tsa_root)
    ask = ask_url(tsa_url) if tsa_url else ask_files(queries or Path())
    kept = waiting = 0
    refused: list[OathcamError] = []
    for wanted in [one for source in sources for one in find_wanted(source)]:
        try:
            if stamp_one(wanted, ask, roots):
                kept += 1
            else:
                waiting += 1
        except (FormatError, IntegrityError, RefusedError) as error:
            errors.print(f"{wanted.name}: not stamped: {error}", soft_wrap=True, highlight=False, markup=False)
            refused.append(error)
    output.print(f"{kept} stamped" + (f", {waiting} queries in {queries}: carry them to the authority" if waiting else ""), soft_wrap=True)
    if refused:
        raise refused[0]

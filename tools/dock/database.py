"""The station's memory: SQLite, write-ahead log, every commit synced.

Responsible for what must be known after a crash: what cameras offered, how far each ledger was seen, which receipts were given,
which alarms were raised; and for the custody log, in which every row carries the hash of the one before it. Refuses to judge.
One connection, one lock: called from any thread, one transaction at a time.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.dock.protocol import FileOffer, LedgerMark, OfferState, RecordingOffer, SignedReceipt
from firmware.errors import IntegrityError, UnavailableError
from firmware.evidence import jcs

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cameras (
    serial TEXT PRIMARY KEY, firmware TEXT NOT NULL DEFAULT '', boot INTEGER NOT NULL DEFAULT 0, seen_ns INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0, root TEXT NOT NULL DEFAULT '', log_bytes INTEGER NOT NULL DEFAULT 0,
    edge BLOB NOT NULL DEFAULT x'', chain BLOB NOT NULL DEFAULT x'',
    note TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS offers (
    serial TEXT, recording TEXT, manifest TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (serial, recording)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offer_files (
    serial TEXT, recording TEXT, name TEXT, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (serial, recording, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS offer_content ON offer_files (serial, sha256);
CREATE TABLE IF NOT EXISTS bad_uploads (serial TEXT, sha256 TEXT, attempts INTEGER NOT NULL, PRIMARY KEY (serial, sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaves (
    serial TEXT, leaf INTEGER, recording TEXT NOT NULL, kind TEXT NOT NULL, seq INTEGER NOT NULL DEFAULT -1, hash TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (serial, leaf)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leaf_recording ON leaves (serial, recording, kind);
CREATE TABLE IF NOT EXISTS receipts (
    serial TEXT, recording TEXT, manifest TEXT NOT NULL, receipt BLOB NOT NULL, signature BLOB NOT NULL,
    PRIMARY KEY (serial, recording)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarms (number INTEGER PRIMARY KEY, serial TEXT NOT NULL, time_ns INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS missing (serial TEXT, recording TEXT, PRIMARY KEY (serial, recording)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS custody (number INTEGER PRIMARY KEY, event BLOB NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL);
"""
_NO_ROW = bytes(32)


@dataclass(frozen=True, slots=True)
class KnownLedger:
    """A camera's high-water mark, the right edge of its tree (from which it goes on), the signing certificates (PEM) that it was
    first seen with, and the cosigned checkpoint."""

    mark: LedgerMark
    edge: tuple[bytes, ...]
    chain: bytes
    note: str


@dataclass(frozen=True, slots=True)
class LeafRow:
    """What the station keeps of a leaf that concerns a recording: its kind, and the hash that it vouches for."""

    leaf: int
    recording: str
    kind: str
    seq: int = -1
    hash: str = ""


class Database:
    """Opens or creates the file. Raises UnavailableError when it is no database of this station."""

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.RLock()
        try:
            self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=FULL")
            self._sql.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise UnavailableError(f"cannot use the store's database {path}: {error}", remedy="name a store that a dock made") from None

    def close(self) -> None:
        with self._lock:
            self._sql.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable on return. Nested use joins the outer one."""
        with self._lock:
            if self._sql.in_transaction:
                yield self._sql
                return
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise
            self._sql.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._sql.execute(query, values).fetchall()

    # --- custody log and alarms

    def log(self, kind: str, serial: str, **facts: Any) -> None:
        """Append one event to the chained custody log."""
        event = jcs.canonical({"event": kind, "serial": serial, "time_ns": str(self._now_ns()), **facts})
        with self.transaction() as sql:
            last = sql.execute("SELECT hash FROM custody ORDER BY number DESC LIMIT 1").fetchone()
            previous = last[0] if last else _NO_ROW
            row = (event, previous, hashlib.sha256(previous + event).digest())
            sql.execute("INSERT INTO custody (event, previous, hash) VALUES (?, ?, ?)", row)

    def custody_log(self) -> list[bytes]:
        """All events, oldest first. Raises IntegrityError when the chain is broken."""
        previous, events = _NO_ROW, []
        for number, event, claimed, digest in self._rows("SELECT number, CAST(event AS BLOB), previous, hash FROM custody ORDER BY number"):
            if claimed != previous or hashlib.sha256(previous + event).digest() != digest:
                raise IntegrityError("custody log", f"row {number} does not continue the one before it")
            previous = digest
            events.append(event)
        return events

    def raise_alarm(self, serial: str, detail: str) -> None:
        """Keep an alarm for the operator, once per wording, and log it."""
        with self.transaction() as sql:
            if not sql.execute("SELECT 1 FROM alarms WHERE serial = ? AND detail = ?", (serial, detail)).fetchone():
                sql.execute("INSERT INTO alarms (serial, time_ns, detail) VALUES (?, ?, ?)", (serial, self._now_ns(), detail))
                self.log("alarm", serial, detail=detail)

    def alarms(self, serial: str) -> tuple[str, ...]:
        return tuple(row[0] for row in self._rows("SELECT detail FROM alarms WHERE serial = ? ORDER BY number", serial))

    # --- cameras and their ledgers

    def see_camera(self, serial: str, firmware: str, boot: int) -> None:
        """Note a camera that opened a session."""
        query = (
            "INSERT INTO cameras (serial, firmware, boot, seen_ns) VALUES (?, ?, ?, ?) ON CONFLICT (serial) "
            "DO UPDATE SET firmware = excluded.firmware, boot = excluded.boot, seen_ns = excluded.seen_ns"
        )
        with self.transaction() as sql:
            sql.execute(query, (serial, firmware, boot, self._now_ns()))

    def ledger(self, serial: str) -> KnownLedger:
        """The high-water mark; that of an empty tree for a camera never seen."""
        rows = self._rows("SELECT size, root, log_bytes, edge, chain, note FROM cameras WHERE serial = ?", serial)
        size, root, log_bytes, edge, chain, note = rows[0] if rows else (0, "", 0, b"", b"", "")
        mark = LedgerMark(size, root or hashlib.sha256(b"").hexdigest(), log_bytes)
        return KnownLedger(mark, tuple(edge[at : at + 32] for at in range(0, len(edge), 32)), bytes(chain), note)

    def advance_ledger(self, serial: str, known: KnownLedger, leaves: Sequence[LeafRow]) -> None:
        """Move the high-water mark and index the new leaves, in one transaction (D4)."""
        mark = known.mark
        values = (mark.size, mark.root, mark.log_bytes, b"".join(known.edge), known.chain, known.note, serial)
        rows = [(serial, row.leaf, row.recording, row.kind, row.seq, row.hash) for row in leaves]
        with self.transaction() as sql:
            sql.execute("INSERT OR IGNORE INTO cameras (serial) VALUES (?)", (serial,))
            query = "UPDATE cameras SET size = ?, root = ?, log_bytes = ?, edge = ?, chain = ?, note = ? WHERE serial = ?"
            sql.execute(query, values)
            sql.executemany("INSERT INTO leaves (serial, leaf, recording, kind, seq, hash) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self.log("ledger", serial, size=known.mark.size, root=known.mark.root)

    def leaves(self, serial: str, recording: str, kind: str) -> list[LeafRow]:
        query = "SELECT leaf, recording, kind, seq, hash FROM leaves WHERE serial = ? AND recording = ? AND kind = ? ORDER BY leaf"
        return [LeafRow(*row) for row in self._rows(query, serial, recording, kind)]

    def find_missing(self, serial: str) -> tuple[str, ...]:
        """Recordings that the ledger began and that were neither received nor released against a receipt; kept and returned."""
        query = (
            "SELECT recording FROM leaves WHERE serial = ?1 AND kind = 'begin' AND recording NOT IN "
            "(SELECT recording FROM receipts WHERE serial = ?1) AND recording NOT IN "
            "(SELECT recording FROM leaves WHERE serial = ?1 AND kind = 'release') GROUP BY recording ORDER BY MIN(leaf)"
        )
        found = tuple(row[0] for row in self._rows(query, serial))
        with self.transaction() as sql:
            sql.execute("DELETE FROM missing WHERE serial = ?", (serial,))
            sql.executemany("INSERT OR IGNORE INTO missing (serial, recording) VALUES (?, ?)", [(serial, one) for one in found])
        return found

    def unbacked_releases(self, serial: str) -> tuple[str, ...]:
        """Recordings that the camera deleted against a receipt which this store did not give."""
        query = (
            "SELECT recording FROM leaves WHERE serial = ?1 AND kind = 'release' AND recording NOT IN "
            "(SELECT recording FROM receipts WHERE serial = ?1) ORDER BY leaf"
        )
        return tuple(row[0] for row in self._rows(query, serial))

    # --- offers and uploads

    def offer(self, serial: str, recording: str) -> tuple[RecordingOffer, OfferState, str] | None:
        """What the camera last offered under this id, and what became of it."""
        rows = self._rows("SELECT manifest, state, reason FROM offers WHERE serial = ? AND recording = ?", serial, recording)
        if not rows:
            return None
        query = "SELECT name, sha256, bytes FROM offer_files WHERE serial = ? AND recording = ? ORDER BY name"
        files = tuple(FileOffer(*row) for row in self._rows(query, serial, recording))
        manifest, state, reason = rows[0]
        return RecordingOffer(recording, manifest, files), OfferState(state), reason

    def keep_offer(self, serial: str, offer: RecordingOffer) -> None:
        """Replace what was offered under this id; the recording is wanted."""
        files = [(serial, offer.recording, file.name, file.sha256, file.size_bytes) for file in offer.files]
        with self.transaction() as sql:
            sql.execute("DELETE FROM offer_files WHERE serial = ? AND recording = ?", (serial, offer.recording))
            row = (serial, offer.recording, offer.manifest_sha256, OfferState.WANTED.value)
            sql.execute("INSERT OR REPLACE INTO offers (serial, recording, manifest, state) VALUES (?, ?, ?, ?)", row)
            sql.executemany("INSERT INTO offer_files (serial, recording, name, sha256, bytes) VALUES (?, ?, ?, ?, ?)", files)

    def refuse_offer(self, serial: str, recording: str, reason: str) -> None:
        """Mark a recording as quarantined, with its reason."""
        with self.transaction() as sql:
            values = (OfferState.REFUSED.value, reason, serial, recording)
            sql.execute("UPDATE offers SET state = ?, reason = ? WHERE serial = ? AND recording = ?", values)
            self.log("refused", serial, recording=recording, reason=reason)

    def offered_bytes(self, serial: str, sha256: str) -> int | None:
        """Length of a wanted content; ``None`` when this camera offered no such thing, or it was stored or refused already."""
        query = (
            "SELECT bytes FROM offer_files JOIN offers USING (serial, recording) "
            "WHERE serial = ? AND sha256 = ? AND state = ? ORDER BY bytes LIMIT 1"
        )
        rows = self._rows(query, serial, sha256, OfferState.WANTED.value)
        return rows[0][0] if rows else None

    def wanted_contents(self, serial: str) -> frozenset[str]:
        """Hashes of everything that may still arrive from this camera."""
        query = "SELECT sha256 FROM offer_files JOIN offers USING (serial, recording) WHERE serial = ? AND state = ?"
        return frozenset(row[0] for row in self._rows(query, serial, OfferState.WANTED.value))

    def count_bad(self, serial: str, sha256: str) -> int:
        """One more upload whose bytes did not have the hash that named them; returns how many there were."""
        query = "INSERT INTO bad_uploads VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET attempts = attempts + 1"
        with self.transaction() as sql:
            sql.execute(query, (serial, sha256))
            self.log("bad upload", serial, sha256=sha256)
            return self.bad_count(serial, sha256)

    def bad_count(self, serial: str, sha256: str) -> int:
        rows = self._rows("SELECT attempts FROM bad_uploads WHERE serial = ? AND sha256 = ?", serial, sha256)
        return rows[0][0] if rows else 0

    # --- receipts

    def receipt(self, serial: str, recording: str) -> tuple[str, SignedReceipt] | None:
        """The manifest hash that was receipted, and the receipt."""
        query = "SELECT manifest, receipt, signature FROM receipts WHERE serial = ? AND recording = ?"
        rows = self._rows(query, serial, recording)
        return (rows[0][0], SignedReceipt(rows[0][1], rows[0][2])) if rows else None

    def receipt_count(self) -> int:
        """How many receipts this store gave: the number of the next one."""
        return int(self._rows("SELECT COUNT(*) FROM receipts")[0][0])

    def keep_receipt(self, serial: str, recording: str, manifest: str, signed: SignedReceipt) -> None:
        """Make a receipt durable (D3), once: the first one stands. The recording is stored from here on."""
        with self.transaction() as sql:
            row = (serial, recording, manifest, signed.receipt, signed.signature)
            sql.execute("INSERT INTO receipts (serial, recording, manifest, receipt, signature) VALUES (?, ?, ?, ?, ?)", row)
            values = (OfferState.STORED.value, serial, recording)
            sql.execute("UPDATE offers SET state = ?, reason = '' WHERE serial = ? AND recording = ?", values)
            self.log("receipt", serial, recording=recording, manifest=manifest, receipt=hashlib.sha256(signed.receipt).hexdigest())

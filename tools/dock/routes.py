"""What each request of a camera does: sessions, uploads, the ledger, commits, receipts.

Responsible for the order of checks and for turning every refusal into a problem document. Refuses to know sockets. The camera's
serial comes from its certificate and from nowhere else; a request can only reach what that serial offered.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from firmware.dock import upload, wire
from firmware.dock.fields import MAX_BODY_BYTES, is_recording_id, is_sha256
from firmware.dock.protocol import (
    DeviceReport,
    LedgerExtension,
    OfferAnswer,
    OfferState,
    ProblemBody,
    RecordingOffer,
    Refusal,
    SessionAnswer,
    SessionClose,
    SignedOrder,
    SignedPolicy,
    SignedReceipt,
    wanted,
)
from firmware.errors import FormatError, OathcamError
from firmware.evidence.primitives import sha256 as sha256_of
from tools.dock.commit import Committer
from tools.dock.database import Database
from tools.dock.layout import Layout, Rejected, reject
from tools.dock.ledger import LedgerKeeper
from tools.dock.orders import Orders
from tools.dock.server import Body, Peer, PeerGone
from tools.dock.uploads import MAX_ATTEMPTS, Incoming, UploadGate

_TYPE_OF = {upload.MISMATCHING_OFFSET: Refusal.OFFSET}


class Routes:
    """Called from one thread per connection; everything that judges one camera is done under that camera's lock."""

    def __init__(
        self,
        site: str,
        layout: Layout,
        database: Database,
        ledger: LedgerKeeper,
        committer: Committer,
        orders: Orders,
        reserve_bytes: int,
        report: Callable[[str], None],
    ) -> None:
        self._site = site
        self._layout = layout
        self._database = database
        self._ledger = ledger
        self.committer = committer
        self._orders = orders
        self._reserve_bytes = reserve_bytes
        self._report = report
        self._gate = UploadGate()
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def dispatch(self, peer: Peer, head: wire.RequestHead, body: Body) -> wire.Response:
        """The answer to one request, whatever goes wrong with it. Raises PeerGone only."""
        try:
            return self._route(peer, head, body)
        except PeerGone:
            raise
        except Rejected as rejected:
            return _problem(rejected.problem)
        except FormatError as error:
            return _problem(ProblemBody(400, Refusal.OTHER, str(error)))
        except TimeoutError as error:
            return _problem(ProblemBody(503, Refusal.OTHER, str(error)))
        except (OSError, sqlite3.Error, OathcamError) as error:
            self._report(f"{peer.serial}: {head.method} {head.path}: {error}")
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            return _problem(ProblemBody(507 if full else 500, Refusal.OTHER, "the store is full" if full else "the store failed"))

    def _route(self, peer: Peer, head: wire.RequestHead, body: Body) -> wire.Response:
        match (head.method, *head.segments):
            case ("HEAD" | "PATCH", "v1", "uploads", sha256) if is_sha256(sha256):
                return self._upload(peer, head, sha256, body)
            case ("POST", "v1", "session"):
                return self._json(self._session(peer, DeviceReport.from_bytes(_whole(head, body))).to_bytes())
            case ("PUT", "v1", "session", "end"):
                return self._json(self._end(peer).to_bytes())
            case ("GET", "v1", "ledger"):
                return self._json(self._database.ledger(peer.serial).mark.to_bytes())
            case ("POST", "v1", "ledger"):
                extension = LedgerExtension.from_bytes(_whole(head, body))
                with self._locks[peer.serial]:
                    return self._json(self._ledger.accept(peer.serial, extension).to_bytes())
            case ("POST", "v1", "recordings", recording, "commit") if is_recording_id(recording):
                with self._locks[peer.serial]:
                    return self._json(self.committer.commit(peer.serial, recording).to_bytes())
            case ("GET", "v1", "receipts", recording) if is_recording_id(recording):
                return self._json(self._receipt(peer, recording).to_bytes())
            case ("GET", "v1", "policy"):
                return self._json(self._policy(peer).to_bytes())
            case ("GET", "v1", "order"):
                return self._json(self._order(peer).to_bytes())
        raise reject(404, Refusal.OTHER, f"nothing answers {head.method} {head.path}")

    @staticmethod
    def _json(body: bytes) -> wire.Response:
        return wire.Response(200, body)

    # --- session

    def _session(self, peer: Peer, report: DeviceReport) -> SessionAnswer:
        if report.serial != peer.serial:
            raise reject(403, Refusal.OTHER, f"expected a report of {peer.serial}, got one of {report.serial}")
        with self._locks[peer.serial]:
            self._database.see_camera(peer.serial, report.firmware, report.boot)
            self._database.log("session", peer.serial, firmware=report.firmware, boot=report.boot, recordings=len(report.recordings))
            if peer.remark:
                self._database.raise_alarm(peer.serial, peer.remark)
            mark = self._database.ledger(peer.serial).mark
            if report.ledger_size < mark.size:
                self._database.raise_alarm(peer.serial, f"reports a ledger of {report.ledger_size} leaves; {mark.size} were seen")
            incoming = self._layout.incoming(peer.serial)
            answers = tuple(self._answer_offer(peer.serial, offer, incoming) for offer in report.recordings)
            incoming.sweep(self._database.wanted_contents(peer.serial))
            self._check_space(report, answers)
        return SessionAnswer(self._site, mark, answers)

    def _answer_offer(self, serial: str, offer: RecordingOffer, incoming: Incoming) -> OfferAnswer:
        offer = replace(offer, files=tuple(sorted(offer.files, key=lambda file: file.name)))
        receipted = self._database.receipt(serial, offer.recording)
        if receipted is not None:
            if receipted[0] == offer.manifest_sha256:
                return OfferAnswer(offer.recording, OfferState.STORED)
            reason = "a recording of this id with another manifest was received before"
            self._database.raise_alarm(serial, f"{offer.recording}: {reason}")
            return OfferAnswer(offer.recording, OfferState.REFUSED, reason=reason)
        known = self._database.offer(serial, offer.recording)
        if known is None or known[0] != offer:
            self._database.keep_offer(serial, offer)
        elif known[1] is OfferState.REFUSED:
            return OfferAnswer(offer.recording, OfferState.REFUSED, reason=known[2])
        files = wanted(offer, lambda file: incoming.state(file.sha256, file.size_bytes).offset)
        return OfferAnswer(offer.recording, OfferState.WANTED, files)

    def _check_space(self, report: DeviceReport, answers: tuple[OfferAnswer, ...]) -> None:
        sizes = {file.sha256: file.size_bytes for offer in report.recordings for file in offer.files}
        needed = sum(sizes[file.sha256] - file.offset for answer in answers for file in answer.files)
        free = shutil.disk_usage(self._layout.root).free - self._reserve_bytes
        if needed > free:
            raise reject(507, Refusal.OTHER, f"expected room for {needed} bytes in the store, got {max(free, 0)}")

    def _end(self, peer: Peer) -> SessionClose:
        with self._locks[peer.serial]:
            missing = self._database.find_missing(peer.serial)
            for recording in self._database.unbacked_releases(peer.serial):
                self._database.raise_alarm(peer.serial, f"{recording}: deleted by the camera; the receipt for it is not of this store")
            self._database.log("session end", peer.serial, missing=len(missing))
            return SessionClose(missing, self._database.alarms(peer.serial))

    def _receipt(self, peer: Peer, recording: str) -> SignedReceipt:
        receipted = self._database.receipt(peer.serial, recording)
        if receipted is None:
            raise reject(404, Refusal.OTHER, f"no receipt for {recording}")
        return receipted[1]

    # --- what the agency has for the camera

    def _policy(self, peer: Peer) -> SignedPolicy:
        found = self._orders.policy()
        if found is None:
            raise reject(404, Refusal.OTHER, "no policy is offered here")
        self._database.log("policy offered", peer.serial, sha256=sha256_of(found.policy).hex())
        return found

    def _order(self, peer: Peer) -> SignedOrder:
        found = self._orders.order(peer.serial)
        if found is None:
            raise reject(404, Refusal.OTHER, "this camera was not assigned here")
        self._database.log("order offered", peer.serial, sha256=sha256_of(found.order).hex())
        return found

    # --- uploads

    def _upload(self, peer: Peer, head: wire.RequestHead, sha256: str, body: Body) -> wire.Response:
        length = self._database.offered_bytes(peer.serial, sha256)
        if length is None:
            raise reject(404, Refusal.OTHER, "this camera offered no such content")
        incoming = self._layout.incoming(peer.serial)
        with self._gate.hold(incoming.part(sha256), body.cut):
            state = incoming.state(sha256, length)
            if head.method == "HEAD":
                return wire.Response(204, fields=upload.state_fields(state))
            append = upload.parse_append(head.fields)
            problem = upload.judge(state, append, sha256)
            if problem is not None:
                return self._refuse_append(problem, state)
            if incoming.append(sha256, state, append.size, body.readinto) != append.size:
                raise PeerGone("the body ended early")
            if append.completes:
                self._finish(peer, incoming, sha256)
            state = upload.UploadState(append.offset + append.size, length, complete=append.completes)
            return wire.Response(200, fields=upload.state_fields(state))

    def _refuse_append(self, problem: upload.Problem, state: upload.UploadState) -> wire.Response:
        kind = _TYPE_OF.get(problem.type, Refusal.OTHER)
        expected = -1 if problem.expected_offset is None else problem.expected_offset
        answer = _problem(ProblemBody(problem.status, kind, problem.detail, expected))
        return replace(answer, fields=upload.state_fields(state))

    def _finish(self, peer: Peer, incoming: Incoming, sha256: str) -> None:
        if incoming.verify(sha256):
            return
        attempts = self._database.count_bad(peer.serial, sha256)
        given_up = attempts >= MAX_ATTEMPTS
        incoming.reject(sha256, finally_=given_up)
        kind = Refusal.FILE if given_up else Refusal.DIGEST
        raise reject(422, kind, f"expected content with the SHA-256 {sha256}, got another, {attempts} of {MAX_ATTEMPTS} times")


def _whole(head: wire.RequestHead, body: Body) -> bytes:
    if head.content_length is None:
        raise reject(411, Refusal.OTHER, "expected a Content-Length")
    if head.content_length > MAX_BODY_BYTES:
        raise reject(413, Refusal.OTHER, f"expected a body of at most {MAX_BODY_BYTES} bytes, got {head.content_length}")
    return body.read()


def _problem(problem: ProblemBody) -> wire.Response:
    return wire.Response(problem.status, problem.to_bytes(), content_type="application/problem+json")

"""The name of everything that the verifier can find, and what it means: one table, for programs, people and the documents.

A finding that is not simply good carries one of these codes. docs/verifying.md repeats the table; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    # the camera's certificate
    "no-root": "no agency root was given that the signer's chain leads to",
    "no-device-certificate": "the camera's certificates are not beside its ledger",
    "certificate-bad": "the camera's certificates do not lead to the agency's root",
    "key-protection": "what the camera states about where its signing key lies",
    # the ledger as a whole
    "no-ledger": "there is no ledger beside the recordings",
    "ledger-empty": "the ledger holds nothing that the camera signed",
    "ledger-foreign": "the ledger is signed by another camera",
    "ledger-altered": "signed leaves do not parse, or a signed root does not fit",
    "ledger-tail": "bytes behind the last signed root: nobody's word, not used",
    "checkpoint-forged": "a root inside the ledger is not signed by the camera",
    "leaf-dropped": "leaves were taken out",
    "leaf-duplicated": "a leaf stands there twice",
    "leaf-reordered": "a leaf does not stand in its place",
    "leaf-foreign": "a line that this camera did not write there",
    "leaf-altered": "a leaf is not the one that was signed",
    # the ledger against its witnesses
    "no-witness": "nothing newer or independent was given to show that the ledger is the latest",
    "witness-agrees": "a checkpoint or a receipt fits",
    "copy-agrees": "another copy of the same ledger fits",
    "copy-older": "a copy that says it is a dock's ends earlier than another",
    "witness-bad": "a checkpoint or receipt that should witness the ledger is not signed as it should be",
    "cosignature-unchecked": "a dock cosigned; its key was not given",
    "cosignature-bad": "the dock's cosignature does not fit the key that was given",
    "ledger-rolled-back": "a signed witness knows a longer ledger than this one",
    "ledger-forked": "a signed witness knows another history at the same length",
    "recording-elsewhere": "a recording was released to a store that was not given",
    "recording-vanished": "a witness knows a recording that is neither in this ledger nor among these files",
    # boots and time
    "boot-counter-backwards": "a boot leaf's counter is not above that of the boot before it",
    "boot-counter-skipped": "the key store counted boots that left no leaf",
    "boot-counter-differs": "the key store's counter and the number of the boot differ",
    "boot-unclean": "a run that ended by power loss or crash",
    "gap": "signed time in which the camera could not record at once, with its cause",
    "time-unaccounted": "time that no leaf, or no fragment and no gap entry, explains",
    "time-unknown": "the camera was off for a time that its clock could not tell",
    "clock-stepped": "the clock was set by the camera, which signed by how much before, or by something else, which it signed afterwards",
    "clock-not-set": "a step of the clock was signed that was not carried out: power went, or the camera was taken into use first",
    "clock-compared": "the clock was measured against a dock's, and left as it was; or only its trust changed",
    "clock-jumped": "the wall clock moved between two leaves, and no leaf tells of it",
    "clock-unset": "the camera's clock had never been set",
    "fault": "a fault that the camera told",
    "tail-set-aside": "an unsigned ledger tail that a boot set aside",
    "unattested": "a file that was never promised, set aside by a boot",
    # a recording as a whole
    "recording-removed": "the ledger tells of a recording whose files are gone: without a release, or from the store that signed for it",
    "recording-open": "a recording that was begun and not closed",
    "recording-without-leaf": "a recording of which the ledger does not tell",
    "file-missing": "a file that signed papers name is not there",
    "file-without-leaf": "a file that no signed object names",
    "signature-bad": "a signature does not fit, or is not a camera's of this agency",
    "paper-bad": "a signed paper does not parse",
    "paper-differs": "two papers that should agree do not",
    "leaf-without-file": "a fragment was promised by a leaf, and its file is gone",
    "leaf-missing": "a fragment of the manifest that no leaf promised",
    "leaf-differs": "manifest and leaf tell different things",
    "leaf-unmatched": "a fragment was promised, and the manifest does not name it",
    # content
    "sealed-differs": "sealed bytes are not the ones that were signed",
    "not-opened": "no key was given: the content was not opened",
    "not-a-recipient": "the key given is not one of the recipients'",
    "does-not-open": "a sealed object cannot be opened: it is damaged",
    "plain-differs": "opened bytes are not the ones that were signed",
    "media-bad": "the container does not hold what the manifest counts",
    "stream-bad": "pictures are not the ones that were signed in the stream",
    "stream-unsigned": "pictures without a signature in the stream",
    "stream-tail": "the last pictures carry no signature of their own in the stream",
    "stream-head": "the stream does not begin where its signer began",
    "stream-unjudged": "the stream could not be judged, because a part of it is missing or damaged",
    # what a loose file cannot show
    "no-manifest": "without the signed manifest, completeness, sound and container times cannot be told",
    "no-init": "a fragment without the init segment that says how to read it",
    "film-foreign": "the file, or a box in it, is not what `oathcam open` writes",
    "film-differs": "the file is not what the manifest names",
    "fragment-only": "the verdict speaks of the given fragments, not of the recording",
    # what happened
    "annotation": "what the wearer answered: a category, or the reason of a stop or a mute",
    "annotation-sealed": "an answer of the wearer's that only a recipient's key opens",
    "critical": "the wearer called the recording a critical incident",
    "hold": "after a critical recording the camera took no new one until it was in a dock, by policy",
    "stealth": "lamps and sounds of the camera were switched off, or on again, by its wearer or by policy",
    "ended-early": "the recording was closed by a later boot",
    "unassigned": "a recording of a camera to which nobody was assigned",
    "pre-event-short": "the part from before the press is shorter than configured",
    "pictures-lost": "pictures that were seen and not kept, with the signed cause",
    "receipt-bad": "a store's receipt does not fit",
    "receipt-missing": "a leaf names a receipt that is not there",
    "unused": "given, and nothing else that was given belongs to it",
    # what a store added
    "exported": "a line of the store's export log: who took the recording out in clear, when, as what bytes",
    "exports-bad": "the store's export log does not parse, or a line does not continue the one before it",
    "clock-offset": "how far the camera's clock was off, by the signed times of docks and stores",
    "film-export": "what stands in front of the fragments and is not derived from the manifest: no signature covers it",
    "stamp-bad": "a time-stamp token does not fit what it lies beside",
    "stamp-unchecked": "a time-stamp token whose authority was not given, or a stamped checkpoint without a ledger",
    "stamp-early": "a recording that ended, by its camera's clock, after it was stamped",
    "unsigned-attribute": "something beside a signature that nobody here knows",
}


def is_code(code: str) -> bool:
    """Whether a finding may carry this code."""
    return code in CODES

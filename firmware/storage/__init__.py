"""Shell around the evidence volume: the only rooms that create, rename, sync or remove a file of evidence.

Write order (numbered; the other modules cite these numbers):

W1  A leaf refers only to durable bytes: a file's bytes and its name are synced before its leaf is written, or leaves of the same batch
    carry the bytes.
W2  Every file in the vault is named by a leaf, or belongs to the group being written, or is set aside and reported.
W3  A recording leaves only after a verified receipt and the receipt's leaf are durable.
W4  Leaves and the signature over them reach the card in one write and one sync; what follows the last good signature is
    nobody's word and is set aside, never adopted.
W5  What another process reads (manifest, checkpoint, receipts) is written under another name first, synced, and renamed: it is
    whole as soon as it is seen.
"""

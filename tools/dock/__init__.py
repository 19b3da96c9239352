"""The dock station: receives what cameras offer, checks it, stores it and signs receipts.

Storage order (numbered; the other modules cite these numbers):

D1  Bytes are synced before any answer counts them; the size of the synced file is the only authority on an upload's offset.
D2  A file gets the name of its hash only after that hash was computed over what the disk gave back.
D3  A receipt is signed only after the recording's directory is complete, synced and under its final name, and it is handed out
    only after it is in the database.
D4  The log's bytes are synced before the high-water mark that counts them; bytes beyond the mark are nobody's and are cut.
"""

"""A line of the hint channel is a BadHint or a message that survives its own line; the reader raises nothing."""

from __future__ import annotations

from hal.hint import MAX_LINE_BYTES, BadHint, Bay, Hello, LineReader, State, decode, encode

SEEDS = (
    encode(Hello("OC-000001", "0.1.0", 7)),
    encode(State("recording")),
    encode(Bay("dock-1", 2, "fe80::1%eth0", 8443)),
)


def target(data: bytes) -> None:
    reader = LineReader()
    for at in range(0, len(data), 7):
        assert all(decode(encode(message)) == message for message in reader.feed(data[at : at + 7], at / 10))
    for line in data.split(b"\n"):
        try:
            message = decode(line)
        except BadHint:
            continue
        assert len(line) <= MAX_LINE_BYTES
        assert decode(encode(message)) == message

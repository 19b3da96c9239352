"""The small parts under the Pi's camera, each alone: the queue, parameter sets, guarded calls, the wire to the capture process."""

from __future__ import annotations

import gc
import socket
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.pi.capture_wire import Kind, Message, Wire, told
from hal.pi.encoders import floor_bps
from hal.pi.guard import bounded, guarded
from hal.pi.pictures import Coded, ParameterSets, PictureQueue, nal_type

SPS, PPS, IDR, P = (b"\0\0\0\1" + bytes([head]) + b"x" * 5 for head in (0x67, 0x68, 0x65, 0x41))


def coded(number: int, size: int = 10, *, key: bool = False) -> Coded:
    return Coded(bytes(size), key, number)


# The queue


def test_a_full_queue_drops_to_the_next_idr_and_counts() -> None:
    """House law 4: never a picture out of the middle of a GOP."""
    queue = PictureQueue(limit_bytes=100)
    for number in range(8):
        queue.offer(coded(number, 30, key=number in (0, 5)))
    assert [queue.take().sensor_us for _ in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
    queue.offer(coded(8))
    assert queue.dropped == 6
    queue.offer(coded(9, key=True))
    queue.offer(coded(10))
    assert [queue.take().sensor_us for _ in range(2)] == [9, 10]  # type: ignore[union-attr]


def test_a_closed_queue_lets_everybody_go() -> None:
    queue = PictureQueue()
    queue.offer(coded(1))
    taker = threading.Thread(target=lambda: [queue.take(), queue.take()])
    taker.start()
    queue.close()
    taker.join(5)
    assert not taker.is_alive()
    queue.offer(coded(2))
    assert queue.take() is None


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.booleans()), max_size=80))
def test_what_comes_out_is_what_went_in_less_what_was_counted(turns: list[tuple[int, bool, bool]]) -> None:
    """In order, nothing doubled, every loss counted; a hole is followed by an IDR."""
    queue, offered, out = PictureQueue(limit_bytes=120), 0, []
    waiting = 0
    for size, key, take in turns:
        queue.offer(coded(offered, size, key=key))
        waiting = offered + 1 - queue.dropped - len(out)
        offered += 1
        if take and waiting:
            out.append(queue.take())
    while offered - queue.dropped - len(out):
        out.append(queue.take())
    numbers = [each.sensor_us for each in out]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + queue.dropped == offered
    assert all(each.keyframe or each.sensor_us == before + 1 for before, each in zip([-1, *numbers], out, strict=False))


# Parameter sets


def test_an_idr_gets_the_parameter_sets_that_it_lacks() -> None:
    """picamera2 leaves a buffer out that holds only them: who starts at the IDR behind it would see nothing."""
    sets = ParameterSets()
    assert sets.complete(SPS + PPS + IDR) == SPS + PPS + IDR
    assert sets.complete(IDR) == SPS + PPS + IDR
    assert sets.complete(P) == P
    other = SPS[:-1] + b"y"
    assert sets.complete(other + PPS + IDR) == other + PPS + IDR
    assert sets.complete(IDR) == other + PPS + IDR


@given(st.binary(max_size=200))
def test_no_bytes_make_the_search_fail(data: bytes) -> None:
    sets = ParameterSets()
    assert sets.complete(data).endswith(data)
    assert -1 <= nal_type(data) <= 31


@pytest.mark.parametrize(("size", "least"), [((320, 180), 125_000), ((160, 96), 100_000), ((640, 360), 500_000), ((1920, 1080), 500_000)])
def test_the_floor_of_the_bit_rate(size: tuple[int, int], least: int) -> None:
    """picamera2#1228."""
    assert floor_bps(*size) == least


# Guarded calls


class _Buffer:
    """Stands for a camera buffer that a traceback could hold."""


def test_a_guarded_call_keeps_nothing_of_the_libraries_exception() -> None:
    """A traceback that is kept keeps its frames, and those keep the camera's memory (BufferError, leaking descriptors: measured)."""
    seen: list[weakref.ref[_Buffer]] = []

    def library() -> None:
        buffer = _Buffer()
        seen.append(weakref.ref(buffer))
        raise KeyError("SensorTimestamp")

    with pytest.raises(DeviceFault) as caught:
        guarded("camera", library)
    assert str(caught.value) == "camera: KeyError('SensorTimestamp')"
    assert caught.value.__context__ is None
    gc.collect()
    assert seen[0]() is None


def test_our_own_errors_pass_and_texts_are_the_librarys() -> None:
    def absent() -> None:
        raise HalUnavailable("no camera")

    def failing() -> None:
        raise RuntimeError("Failed to acquire camera: Device or resource busy")

    with pytest.raises(HalUnavailable):
        guarded("camera", absent)
    with pytest.raises(DeviceFault, match=r"^camera: Failed to acquire camera: Device or resource busy$"):
        guarded("camera", failing)


def test_a_bounded_call_ends_in_time_whatever_it_does() -> None:
    release = threading.Event()
    assert bounded("stop", lambda: None, 5) == ""
    assert bounded("stop", lambda: 1 / 0, 5) == "stop: ZeroDivisionError('division by zero')"
    assert bounded("stop", release.wait, 0.05) == "stop: no answer within 0.05 s"
    release.set()


# The wire


def pair() -> tuple[Wire, Wire, socket.socket]:
    left, right = socket.socketpair()
    return Wire(left), Wire(right), left


def test_messages_arrive_as_they_were_sent_and_the_end_is_told() -> None:
    here, there, _ = pair()
    sent = [Message(Kind.PICTURE, b"\0\0\1e" * 5000, 123456789, True), told(Kind.ORDER, do="start"), Message(Kind.STOPPED)]
    for each in sent:
        threading.Thread(target=here.send, args=(each,)).start()
        assert there.receive() == each
    here.close()
    assert there.receive() is None
    with pytest.raises(DeviceFault):
        there.send(Message(Kind.STOPPED))
    there.close()
    here.close()


@given(st.binary(max_size=100))
def test_a_mad_peer_is_a_fault_and_nothing_else(data: bytes) -> None:
    """Bytes of any kind: messages, the end, or one error; no endless wait for a length that nobody means."""
    here, there, raw = pair()
    raw.sendall(data)
    raw.shutdown(socket.SHUT_WR)
    try:
        while (message := there.receive()) is not None:
            if message.kind is Kind.PROGRESS:
                message.facts()
    except HalError:
        pass
    here.close()
    there.close()


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    here, there, raw = pair()
    raw.sendall(b"\1\0\0\0\xff\xff\xff\x7f" + bytes(8))
    with pytest.raises(DeviceFault, match="2147483647 bytes"):
        there.receive()
    here.close()
    there.close()


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_facts_are_an_object(data: bytes) -> None:
    with pytest.raises(DeviceFault):
        Message(Kind.PROGRESS, data).facts()

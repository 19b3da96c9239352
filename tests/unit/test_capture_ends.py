"""From activation to end every moment is in a picture or in a gap entry, however late, lost or broken pictures come (house law 4).

The capture alone, fed as its threads feed it, with real pictures; what it hands to the writer is looked at.
"""

from __future__ import annotations

from types import SimpleNamespace

from helpers_capture import PICTURE_NS, Writer, at, reading
from helpers_media import x264
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.capture import Capture, Intake, PicturesDropped
from firmware.metrics import Losses
from hal.interfaces import Inbox, Picture

BEGAN_NS = 4_000_000_000


class Queue(Inbox):
    """The loop's inbox, to be filled to the brim and emptied at will."""

    def __init__(self, limit: int) -> None:
        self.items: list[object] = []
        self.limit = limit

    def put(self, item: object, *, urgent: bool = False) -> bool:
        if len(self.items) >= self.limit * (2 if urgent else 1):
            return False
        self.items.append(item)
        return True

    def get(self) -> object | None:
        return self.items.pop(0) if self.items else None

    def depth(self) -> tuple[int, int]:
        return len(self.items), self.limit

    def close(self) -> None: ...


def instant(number: int) -> int:
    return BEGAN_NS + number * PICTURE_NS


def picture(number: int, *, broken: bool = False) -> Picture:
    data, keyframe = x264(90)[number]
    return Picture(b"\x01" if broken else data, keyframe, reading(instant(number)))


def opened() -> tuple[Capture, Writer, Losses]:
    writer, losses = Writer(), Losses()
    return Capture(writer, 1000, 10_000_000, PICTURE_NS, losses), writer, losses  # type: ignore[arg-type]


def began(capture: Capture, ns: int) -> None:
    capture.start(SimpleNamespace(at=at(ns)), keep_audio=False)  # type: ignore[arg-type]


def recorded(count: int) -> tuple[Capture, Writer, Losses]:
    """A recording that was pressed for at the first of so many pictures, and goes on."""
    capture, writer, losses = opened()
    began(capture, BEGAN_NS)
    for number in range(count):
        capture.picture(picture(number))
    return capture, writer, losses


def test_pictures_on_their_way_when_a_recording_ends_belong_to_it() -> None:
    """An encoder takes its time: the hold is known before the last pictures from before it are there."""
    capture, writer, losses = recorded(40)
    end_ns = instant(45) + 1
    capture.stop(at(end_ns), "button", {})
    for number in range(40, 46):
        assert writer.end is None
        capture.picture(picture(number))
    capture.picture(picture(46))
    assert writer.end == (end_ns, "button")
    assert writer.pictures == [instant(number) for number in range(46)]
    assert writer.drops == []
    assert losses.total() == 0


def test_a_recording_ends_without_waiting_when_its_last_picture_is_there() -> None:
    capture, writer, _ = recorded(40)
    capture.stop(at(instant(37)), "button", {})
    assert writer.end is not None
    assert max(writer.pictures) == instant(37)


def test_a_camera_that_fell_silent_is_waited_for_half_a_second_and_told() -> None:
    capture, writer, _ = recorded(40)
    end_ns = instant(39) + 150_000_000
    capture.stop(at(end_ns), "button", {})
    capture.look(at(end_ns + 400_000_000))
    assert writer.end is None
    capture.look(at(end_ns + 600_000_000))
    assert writer.end == (end_ns, "button")
    ((first, length, pictures, cause),) = writer.drops
    assert (first, length // 1000, cause) == (instant(39), 150_000, "camera")
    assert 3 <= pictures <= 5
    capture.picture(picture(60))  # ends nothing again
    assert writer.holes(BEGAN_NS, end_ns) == []


def test_the_next_recording_does_not_wait_for_the_last_ones_pictures() -> None:
    capture, writer, _ = recorded(40)
    capture.stop(at(instant(42)), "button", {})
    began(capture, instant(43))
    assert writer.end == (instant(42), "button")


def test_what_the_sensor_left_out_before_the_inbox_was_full_is_told_too() -> None:
    """Two losses, one behind the other: the second does not hide the first."""
    capture, writer, losses = recorded(24)
    capture.dropped(PicturesDropped(at(instant(28)), at(instant(30)), 2))
    for number in range(30, 45):
        capture.picture(picture(number))
    capture.stop(at(instant(44)), "button", {})
    assert [(first, pictures, cause) for first, _, pictures, cause in writer.drops] == [
        (instant(23), 4, "camera"),
        (instant(28), 2, "queue-full"),
    ]
    assert writer.holes(BEGAN_NS, instant(44)) == []
    assert losses.pictures == {"camera": 4, "queue-full": 2}


def test_a_broken_picture_after_a_loss_is_told_too() -> None:
    capture, writer, _ = recorded(15)
    capture.dropped(PicturesDropped(at(instant(15)), at(instant(20)), 5))
    capture.picture(picture(20, broken=True))
    for number in range(21, 30):
        capture.picture(picture(number))  # of a GOP that never began
    for number in range(30, 45):
        capture.picture(picture(number))
    capture.stop(at(instant(44)), "button", {})
    assert [(pictures, cause) for *_, pictures, cause in writer.drops] == [(5, "queue-full"), (10, "camera-format")]
    assert writer.holes(BEGAN_NS, instant(44)) == []


def test_a_broken_picture_from_after_the_hold_is_no_loss_of_the_recording() -> None:
    """The hold is known a moment late; what came in that moment was not of the recording."""
    capture, writer, _ = recorded(25)
    capture.picture(picture(29, broken=True))
    capture.stop(at(instant(28)), "button", {})
    capture.picture(picture(30))
    assert [(first, cause) for first, _, _, cause in writer.drops] == [(instant(24), "camera")]
    assert writer.holes(BEGAN_NS, instant(28)) == []


def test_a_stream_that_breaks_after_the_hold_leaves_the_last_gop_its_own_signature() -> None:
    """What breaks it may be the camera's end: nothing comes any more that would carry the signature."""
    capture, writer, _ = recorded(40)
    capture.stop(at(instant(42)), "button", {})
    capture.interrupt()
    (final,) = writer.final
    assert final is not None
    assert final.last_ns == instant(39)


FATES = st.lists(
    st.tuples(st.sampled_from(["comes", "comes", "lost", "broken", "held up"]), st.integers(1, 9)), min_size=20, max_size=40
).map(lambda runs: [fate for fate, length in runs for _ in range(length)])


@settings(max_examples=300, deadline=None)
@given(
    fates=FATES,
    behind=st.integers(0, 12),
    full=st.tuples(st.integers(0, 80), st.integers(0, 30)),
    press=st.integers(0, 50),
    hold=st.integers(1, 60),
    again=st.integers(0, 20),
    settle=st.integers(0, 3),
)
def test_no_moment_is_unaccounted(
    fates: list[str], behind: int, full: tuple[int, int], press: int, hold: int, again: int, settle: int
) -> None:
    """Pictures that are lost or broken, a loop that is held up, an encoder behind by up to twelve pictures, an inbox that is full for up
    to a second, a hold that is known a little late, and a second recording soon after the first."""
    capture, writer, _ = opened()
    queue = Queue(1_000)
    intake = Intake(queue)
    begins, ends = (press, press + hold + again), (press + hold, press + hold + again + 20)
    writers = []
    for tick in range(ends[-1] + 40):
        if tick in ends:
            capture.stop(at(instant(max(tick - settle, begins[0]))), "button", {})
        if tick in begins:
            capture.finish()
            capture._custodian = writer = Writer()  # type: ignore[assignment]
            writers.append(writer)
            began(capture, instant(tick))
        queue.limit = 0 if full[0] <= tick < sum(full) else 1_000
        number = tick - behind
        fate = fates[number] if 0 <= number < min(90, len(fates)) else "none"
        if fate not in ("none", "lost"):
            intake.picture(picture(number, broken=fate == "broken"))
        while fate != "held up" and (item := queue.get()) is not None:
            capture.dropped(item) if isinstance(item, PicturesDropped) else capture.picture(item)  # type: ignore[arg-type]
        capture.look(at(instant(tick)))
    for kept, first, last in zip(writers, begins, ends, strict=True):
        assert kept.end == (instant(max(last - settle, begins[0])), "button")
        assert all(length >= 0 for _, length, *_ in kept.drops)
        assert kept.holes(instant(first), kept.end[0]) == []
        assert kept.pictures == sorted(set(kept.pictures))

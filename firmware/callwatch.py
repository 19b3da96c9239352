"""For how long a device has not answered, asked from another thread while it does not.

Responsible for three numbers: when the call that is running now began, how many were made, and how long the slowest took. Refuses to
know what is called and to decide what is late. One thread calls the device (the writer; while booting, the loop), another asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hal.interfaces import Clock, KeyStore, KeyStoreInfo


class CallWatch:
    """``calls``: calls that returned or raised. ``slowest_ns``: the longest of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns: int | None = None
        self.calls = 0
        self.slowest_ns = 0

    def waiting_ns(self, now_ns: int) -> int:
        """Nanoseconds since the call that is running now began; 0 when none is."""
        since = self._since_ns
        return 0 if since is None else max(0, now_ns - since)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around one call of the device."""
        began_ns = self._since_ns = self._clock.now().boottime_ns
        try:
            yield
        finally:
            self._since_ns = None
            self.calls += 1
            self.slowest_ns = max(self.slowest_ns, self._clock.now().boottime_ns - began_ns)


class WatchedKeyStore(KeyStore):
    """Everything passes through; what may hang in a TPM or a token is timed: ``signing`` the signatures, ``counting`` the counter."""

    def __init__(self, keys: KeyStore, clock: Clock) -> None:
        self._keys = keys
        self.signing = CallWatch(clock)
        self.counting = CallWatch(clock)

    def waiting_ns(self, now_ns: int) -> int:
        """As :meth:`CallWatch.waiting_ns`, of whichever runs."""
        return max(self.signing.waiting_ns(now_ns), self.counting.waiting_ns(now_ns))

    def info(self) -> KeyStoreInfo:
        return self._keys.info()

    def generate_key(self) -> bytes:
        return self._keys.generate_key()

    def install_certificates(self, chain: Sequence[bytes]) -> None:
        self._keys.install_certificates(chain)

    def certificate_chain(self) -> tuple[bytes, ...]:
        return self._keys.certificate_chain()

    def sign_digest(self, digest: bytes) -> bytes:
        with self.signing.timed():
            return self._keys.sign_digest(digest)

    def counter_increment(self) -> int:
        with self.counting.timed():
            return self._keys.counter_increment()

    def counter_read(self) -> int:
        with self.counting.timed():
            return self._keys.counter_read()

    def close(self) -> None:
        self._keys.close()

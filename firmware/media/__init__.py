"""From an encoder's bytes to fragments and signed streams. Pure: no clock, no file, no randomness, no thread."""

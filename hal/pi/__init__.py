"""The Raspberry Pi back-end: what officers wear.

One module per port. Device libraries (picamera2, gpiozero with lgpio, pyserial) are imported when a port is opened, never
when this package is. ``boot.open_hal`` composes the ports; ``board`` holds the pin maps and what each board can do.
"""

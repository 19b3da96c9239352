"""The Raspberry Pi back-end: what officers wear.

One module per port. Device libraries (picamera2, gpiozero with lgpio, smbus2, pyubx2) are imported when a port is opened, never
when this package is; pyserial by ``hal.serial_line``, which the dock station shares. ``boot.open_hal`` composes the ports;
``board`` holds the pin maps and what each board can do.
"""

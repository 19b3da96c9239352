"""What the camera is made of: one port per device, and the back-ends behind them.

Imports nothing of the firmware or the tools. Only ``hal.backends`` chooses a back-end.
"""

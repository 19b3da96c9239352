"""The state machine of the camera: one table, pure. See ``machine.py`` for the table and how to change it."""

"""The laptop back-end: a webcam or a file, the keyboard as buttons, the terminal as lamps."""

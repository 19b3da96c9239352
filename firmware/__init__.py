"""What runs on the camera. Pure rooms hold the rules; a thin shell touches the world."""

__version__ = "0.1.0"

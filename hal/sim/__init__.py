"""The camera without a camera: every port on one virtual time line, for tests, scenarios and the demonstration.

``world.World`` is what is outside the case and outlives a power cut; ``boot.boot`` is one life of the camera in it.
"""

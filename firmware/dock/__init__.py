"""Offload: the camera's side of the dock link. ``wire``, ``upload`` and ``protocol`` are pure and shared with the station."""

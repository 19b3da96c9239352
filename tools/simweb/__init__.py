"""The page of the virtual camera: the real recorder on simulated hardware, in real time, with somebody's hands around it."""

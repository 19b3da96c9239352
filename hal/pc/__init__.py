"""The back-end for a laptop: a webcam or a video file, a sound card, the keyboard and the terminal. It knows no simulator: times,
devices and disks are the machine's own."""

"""Every Python of a run inside the sid root begins with the virtual camera bridged: the test's own, and the product's capture process."""

import virtual_camera

virtual_camera.install()

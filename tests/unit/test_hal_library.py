"""A large library is loaded without the interpreter's lock."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hal.library import load_beside

ROOT = Path(__file__).resolve().parents[2]


def told(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_library_is_there_before_the_import_and_is_the_one_that_is_imported() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hal.library import load_beside\n"
        "def mapped():\n"
        "    return {line.split()[-1] for line in Path('/proc/self/maps').read_text().splitlines() if '/cv2/' in line}\n"
        "before, done, after = len(mapped()), load_beside('cv2'), mapped()\n"
        "early = 'cv2' in sys.modules\n"
        "import cv2\n"
        "print(before, done, early, len(after), mapped() == after, load_beside('cv2'))\n"
    )
    assert told(program) == ["0", "True", "False", "1", "True", "False"]


@pytest.mark.parametrize("module", ["json", "no_such_module", "numpy"])
def test_what_has_no_library_of_its_name_is_left_to_the_import(module: str) -> None:
    assert told(f"from hal.library import load_beside\nprint(load_beside({module!r}))") == ["False"]


def test_other_threads_run_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library whose loading lasts until another thread has seen it begin: under the lock it would not see it."""
    source, began, seen = tmp_path / "slow.c", tmp_path / "began", tmp_path / "seen"
    source.write_text(
        "#include <fcntl.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        "__attribute__((constructor)) static void wait_for_it(void) {\n"
        '    close(open(getenv("OATHCAM_TEST_BEGAN"), O_CREAT | O_WRONLY, 0600));\n'
        "    for (int tries = 0; tries < 1000; tries++, usleep(10000))\n"
        '        if (access(getenv("OATHCAM_TEST_SEEN"), F_OK) == 0) return;\n'
        '    unlink(getenv("OATHCAM_TEST_BEGAN"));\n}\n'
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "slow_thing.so", source], check=True)
    (tmp_path / "slow_thing.py").touch()
    monkeypatch.setenv("OATHCAM_TEST_BEGAN", str(began))
    monkeypatch.setenv("OATHCAM_TEST_SEEN", str(seen))
    monkeypatch.syspath_prepend(str(tmp_path))
    over = threading.Event()

    def other() -> None:
        while not over.wait(0.005):
            if began.exists():
                seen.touch()

    thread = threading.Thread(target=other)
    thread.start()
    assert load_beside("slow_thing")
    over.set()
    thread.join()
    assert began.exists()

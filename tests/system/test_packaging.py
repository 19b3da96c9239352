"""What is delivered: the wheel, the lock and the script that makes a checkout run."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("firmware", "hal", "tools")


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def tracked() -> list[Path]:
    """Text files of the checkout that are ours: what git would keep, or every file where there is no git."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.splitlines() if done.returncode == 0 else [str(path.relative_to(ROOT)) for path in sources()]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def normal(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503), without version and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ <>=!~;\[]", name)[0]).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (path,) = directory.glob("oathcam-*.whl")
    return path


def test_every_import_is_declared() -> None:
    """What the tree imports is in pyproject.toml by name: nothing works only because something else happened to bring it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    devices = [name for extra in ("pi", "pc", "tpm", "pkcs11", "c2pa", "sim") for name in optional[extra]]
    distributions = {normal(name) for name in [*project["dependencies"], *devices]}
    # libcamera's bindings come with the board's system and are on no index; who needs them needs picamera2.
    modules = {"alsaaudio": "pyalsaaudio", "cv2": "opencv-python", "libcamera": "picamera2", "nacl": "pynacl"}
    modules |= {"c2pa": "c2pa-python", "pkcs11": "python-pkcs11", "serial": "pyserial"}
    foreign = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            foreign |= {name.split(".")[0] for name in names}
    foreign -= set(sys.stdlib_module_names) | set(PACKAGES)
    assert {normal(modules.get(name, name)) for name in foreign} <= distributions


def test_no_registry_is_named() -> None:
    """The tree asks nobody to fetch from anywhere in particular; hashes say what is the right file."""
    hosts = re.compile(
        "|".join(["py" + r"pi\.org", "python" + r"hosted", "--(extra-)?index" + "-url", "trusted" + "-host", "find" + "-links"])
    )
    allowed = {Path(".ci/lock")}
    found = [path for path in tracked() if path.relative_to(ROOT) not in allowed and hosts.search(path.read_text(errors="replace"))]
    assert found == []


def test_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    """A generic top-level name that crept in would shadow somebody else's module on the camera."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        scripts = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert "oathcam = tools.cli:main" in scripts
    assert "oathcamd = firmware.__main__:main" in scripts
    assert any(name.startswith("firmware/policy/profiles/") and name.endswith(".toml") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Everything that is read at run time travels in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = "import firmware, tools.cli; print(firmware.__file__); tools.cli.main()"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-P", "-c", program, "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "verify" in done.stdout


LOCKS = ("requirements.lock", "requirements-source.lock")


def test_locks_pin_every_requirement_with_hashes() -> None:
    """Run-time, back-end and test requirements and the build back-end, each pinned once, each with a hash."""
    pinned: list[str] = []
    for name in LOCKS:
        lock = (ROOT / name).read_text()
        line = r"^([A-Za-z0-9._-]+)==\S+(?: ; [^\\\n]+)? \\\n"  # name, version, and where it is for some machines only, the condition
        entries = re.findall(line + r"((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock, re.MULTILINE)
        assert sum(len(hashes.splitlines()) + 1 for _name, hashes in entries) == len(lock.splitlines())
        pinned += [normal(entry) for entry, _hashes in entries]
    assert len(pinned) == len(set(pinned))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *itertools.chain(*extras), *project["build-system"]["requires"]]
    assert {normal(name) for name in wanted} - {"oathcam"} <= set(pinned)


def bootstrap(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": path}
    return subprocess.run(["/bin/bash", ROOT / ".ci/bootstrap", *arguments], env=environment, capture_output=True, text=True, check=False)


def test_bootstrap_refuses_an_unknown_level() -> None:
    done = bootstrap("everything")
    assert done.returncode == 2
    assert "expected 'demo' or 'test', got 'everything'" in done.stderr


def test_bootstrap_names_an_old_python(tmp_path: Path) -> None:
    """One line that names what is too old, before anything is installed."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/bash\n[[ $2 == *print* ]] && echo 3.9.2 && exit 0\nexit 1\n")
    old.chmod(0o755)
    done = bootstrap("demo", path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert done.stderr == "bootstrap: Python 3.11 or newer is needed, python3 is 3.9.2\n"

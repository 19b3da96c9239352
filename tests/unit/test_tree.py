"""The shape of the source: sizes that keep it readable in an afternoon, and what must never be in it."""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("firmware", "hal", "tools")
MODULE_LINES = 500
FUNCTION_LINES = 60
BROAD_HANDLERS = 3
"""Port template, outermost loop, main of the command line."""

RECOGNITION = {
    *("face_recognition", "face-recognition", "facenet", "facenet-pytorch", "deepface", "insightface", "dlib", "retina-face", "mtcnn"),
    *("easyocr", "pytesseract", "tesserocr", "paddleocr", "openalpr", "fast-alpr", "fast-plate-ocr", "keras-ocr", "python-doctr"),
    *("vosk", "whisper", "openai-whisper", "faster-whisper", "pocketsphinx", "speechrecognition", "speechbrain", "pyannote.audio"),
    *("resemblyzer", "mediapipe", "ultralytics", "torch", "tensorflow", "onnxruntime", "tflite-runtime"),
}
"""Libraries that recognise faces, voices or plates, and the engines that such models run in (BWC-POL-19)."""
RECOGNITION_CALLS = re.compile(r"CascadeClassifier|FaceDetector|FaceRecognizer|HOGDescriptor|cv2\.(dnn|face|text)\b")
"""What OpenCV itself has of it: present in the library, absent from this tree."""


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def broad_handlers(tree: ast.AST) -> int:
    """``except Exception``, ``except BaseException`` and the bare one, in tuples too."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)} if node.type else {"Exception"}
            count += bool(names & {"Exception", "BaseException"})
    return count


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    """A module has at most 500 lines, a function at most 60."""
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES
    assert {name: lines for name, lines in functions(ast.parse(text)) if lines > FUNCTION_LINES} == {}


def test_sizes_of_the_tests() -> None:
    """The same bound on a module holds for what checks."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    """The median function fits in a dozen lines."""
    lengths = [lines for path in sources() for _name, lines in functions(ast.parse(path.read_text()))]
    assert statistics.median(lengths) <= 12


def test_every_module_says_what_it_is_for() -> None:
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sources()}
    assert [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_broad_handlers() -> None:
    """At most three places swallow what nobody foresaw."""
    counts = {str(path.relative_to(ROOT)): broad_handlers(ast.parse(path.read_text())) for path in sources()}
    assert sum(counts.values()) <= BROAD_HANDLERS, {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize(
    ("handler", "count"),
    [
        ("except Exception:", 1),
        ("except BaseException as e:", 1),
        ("except:", 1),
        ("except (OSError, Exception):", 1),
        ("except OSError:", 0),
    ],
)
def test_broad_handler_is_seen(handler: str, count: int) -> None:
    assert broad_handlers(ast.parse(f"try:\n    pass\n{handler}\n    pass")) == count


def test_nothing_is_left_undone() -> None:
    """No stub and no note to oneself stands where evidence is made."""
    undone = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in sources() for match in [undone.search(path.read_text())] if match]
    assert found == []


LENS_MAY = {"CV_16S", "INTER_AREA", "Laplacian", "meanStdDev", "resize"}


def test_the_recorder_asks_opencv_for_sums_over_the_picture_and_nothing_else() -> None:
    """BWC-POL-19: what judges the lens cannot grow into something that finds faces without this test being changed."""
    sources = {path: path.read_text() for path in (ROOT / "firmware").rglob("*.py")}
    users = {path.name: set(re.findall(r"\bcv2\.(\w+)", text)) for path, text in sources.items() if "cv2" in text}
    assert users == {"lens.py": LENS_MAY}
    assert [path.name for path, text in sources.items() if re.search(r"from cv2|cv2 as |getattr\(cv2", text)] == []


def test_no_recognition() -> None:
    """No code that recognises faces, voices or plates, and no library for it: declared, locked or called (BWC-POL-19)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(name for names in project["optional-dependencies"].values() for name in names)]
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    imported = {
        name.split(".")[0]
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""])
    }
    names = {normal(re.split(r"[ <>=!~;\[]", name)[0]) for name in [*declared, *locked, *imported] if name}
    assert len(locked) > 20
    assert names & {normal(name) for name in RECOGNITION} == set()
    assert [str(path.relative_to(ROOT)) for path in sources() if RECOGNITION_CALLS.search(path.read_text())] == []


def test_a_camera_has_two_commands_and_is_no_storage_device() -> None:
    """BWC-POL-22: what runs on a camera can be told to record and to hand over, and nothing else; no service, unit or port makes it a disk,
    a media player's store or a file server for whatever it is plugged into."""
    source = (ROOT / "firmware" / "__main__.py").read_text(encoding="utf-8")
    assert re.findall(r'choices=\(("run", "sync")\)', source) == ['"run", "sync"']
    assert source.count("add_argument(") == 5
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert declared["scripts"]["oathcamd"] == "firmware.__main__:main"
    storage = re.compile(r"mass.?storage|g_multi|\bg_ffs\b|\bmtp\b|\buvc\b|vsftpd|\btelnet|ftplib|smbd|http\.server", re.IGNORECASE)
    places = [
        path for name in ("firmware", "hal", "systemd") for path in (ROOT / name).rglob("*") if path.is_file() and path.suffix != ".pyc"
    ]
    assert len(places) > 100
    assert [path for path in places if storage.search(path.read_text(encoding="utf-8", errors="replace"))] == []


@pytest.mark.xdist_group("guard")
def test_groups_of_tests_stay_together(request: pytest.FixtureRequest) -> None:
    """Tests in real time share a process, and some go on where another ended; pytest-xdist has lost that once without a word."""
    assert request.node.nodeid.endswith("@guard") is hasattr(request.config, "workerinput")

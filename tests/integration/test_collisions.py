"""Installed beside a project with folders of the same names, neither side disturbs the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.harness.gate.toy_gate import write_toy_gate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("harness", "reports", "tasks", "trainers")
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "steelyard", *FOLDERS)
#: How a project may have modules of these names: packages, folders alone, or files.
KINDS = ("packages", "folders", "files")

USERS_TEST = """
from harness import MARK as harness
from reports import MARK as reports
from tasks import MARK as tasks
from trainers import MARK as trainers


def test_the_project_s_own_modules_are_imported():
    assert (harness, reports, tasks, trainers) == ("mine",) * 4


def test_the_gate_is_at_hand(steelyard_gate):
    verdict = steelyard_gate("policy.yaml", "good.steelyard.json.gz", "base.steelyard.json.gz")
    assert verdict.exit_code == 0, verdict.summary
"""


def called(
    *command: str | Path, cwd: Path, exit_code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command with no import path but ``environment``'s; it must exit with ``exit_code``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STEELYARD"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False,
        env={**inherited, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment},
    )  # fmt: skip
    assert done.returncode == exit_code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a source distribution is built from, in a folder without earlier builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a source distribution as a user may build it, without a network."""
    built = tmp_path_factory.mktemp("built")
    make = f"import setuptools.build_meta as backend; backend.build_sdist({str(built)!r})"
    called(sys.executable, "-c", make, cwd=source)
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(built / "unpacked", filter="data")
    (unpacked,) = (built / "unpacked").iterdir()
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation")
    called(*pip, "--wheel-dir", built, unpacked, cwd=built)
    (file_,) = built.glob("*.whl")
    return file_


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a fresh environment with the wheel, which shares this one's libraries."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    called(*pip, wheel, cwd=folder)
    # A path in a .pth file is searched, but the .pth files in it are not read: the editable install
    # that these tests run from stays out.
    (site_packages(folder) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def site_packages(folder: Path) -> Path:
    (place,) = folder.glob("lib/python*/site-packages")
    return place


@pytest.fixture(scope="module", params=KINDS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a user with modules called like Steelyard's folders, a policy and two runs."""
    folder = tmp_path_factory.mktemp(request.param)
    for name in FOLDERS:
        if request.param == "files":
            (folder / f"{name}.py").write_text("MARK = 'mine'\n")
            continue
        (folder / name).mkdir()
        (folder / name / "mine.py").write_text("MARK = 'mine'\n")
        if request.param == "packages":
            (folder / name / "__init__.py").write_text(f"from {name}.mine import MARK\n")
    test = USERS_TEST
    if request.param == "folders":
        for name in FOLDERS:
            test = test.replace(f"from {name} import", f"from {name}.mine import")
    (folder / "test_own.py").write_text(test)
    write_toy_gate(folder)
    return folder


def test_the_wheel_holds_every_file_of_every_folder(source: Path, wheel: Path) -> None:
    laid = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(source).as_posix()
        for folder in ("steelyard", *FOLDERS)
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    expected = {f if f.startswith("steelyard/") else f"steelyard/{f}" for f in files}
    assert laid == expected
    suffixes = {Path(name).suffix for name in laid}
    assert {".py", ".typed", ".yaml", ".safetensors", ".j2", ".css", ".js"} <= suffixes


def test_only_steelyard_is_laid_into_an_environment(bin_folder: Path) -> None:
    place = site_packages(bin_folder.parent)
    laid = {path.name for path in place.iterdir()} - {"shared.pth", "__pycache__"}
    assert {name for name in laid if not name.endswith(".dist-info")} == {"steelyard"}
    (information,) = place.glob("*.dist-info")
    assert (information / "top_level.txt").read_text().split() == ["steelyard"]


def test_the_command_works_in_the_project(bin_folder: Path, project: Path) -> None:
    expected = {
        ("--help",): "Start with: steelyard demo",
        ("list", "suites"): "smoke",
        ("list", "trainers"): "lora",
        ("list", "metrics"): "bits_per_byte",
    }
    for words, shown in expected.items():
        for command in ([bin_folder / "steelyard"], [bin_folder / "python", "-m", "steelyard"]):
            done = called(*command, *words, cwd=project, PYTHONPATH=".")
            assert shown in done.stdout


def test_the_project_s_modules_are_its_own_with_steelyard_loaded(
    bin_folder: Path, project: Path
) -> None:
    code = (
        "import steelyard; steelyard.run; steelyard.gate\n"
        "import steelyard.tasks.metrics.answers, steelyard.trainers.lora, steelyard.reports.build\n"
        "import harness, reports, tasks, trainers, os\n"
        "modules = (harness, reports, tasks, trainers)\n"
        "places = [m.__file__ or list(m.__path__)[0] for m in modules]\n"
        "print(all(os.path.abspath(p).startswith(os.getcwd()) for p in places))\n"
        "print(steelyard.__file__)"
    )
    done = called(bin_folder / "python", "-c", code, cwd=project, PYTHONPATH=".")
    own, face = done.stdout.split()
    assert own == "True"
    assert Path(face).is_relative_to(bin_folder.parent)


def test_the_pytest_plugin_and_the_project_s_tests_run_together(
    bin_folder: Path, project: Path
) -> None:
    options = ["--steelyard-policy", "policy.yaml", "--steelyard-baseline"]
    options += ["base.steelyard.json.gz", "--steelyard-run", "good.steelyard.json.gz"]
    pytest_ = (bin_folder / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    done = called(*pytest_, cwd=project, PYTHONPATH=".")
    assert "2 passed" in done.stdout
    done = called(*pytest_, *options, cwd=project, PYTHONPATH=".")
    assert "3 passed" in done.stdout


def test_a_checkout_is_used_whole_where_another_steelyard_is_installed(
    bin_folder: Path, source: Path
) -> None:
    code = "from steelyard import harness, tasks; print(harness.__file__, tasks.__file__)"
    done = called(bin_folder / "python", "-c", code, cwd=source)
    assert all(Path(place).is_relative_to(source) for place in done.stdout.split())
    called(bin_folder / "python", "-m", "steelyard", "list", "suites", cwd=source)


@pytest.mark.parametrize("project", ["folders"], indirect=True)
def test_a_model_is_scored_from_the_wheel(bin_folder: Path, project: Path) -> None:
    words = ("eval", "microworld", "--suite", "microworld", "--limit", "2", "--format", "json")
    done = called(bin_folder / "steelyard", *words, cwd=project, PYTHONPATH=".")
    assert "microworld_known" in done.stdout


def test_a_type_checker_reads_the_installed_package(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import steelyard\n"
        "reveal_type(steelyard.load('a/b').scores)\n"
        "reveal_type(steelyard.gate('policy.yaml', 'a/b').exit_code)\n"
        "steelyard.evalute('microworld')\n"
    )
    # What third parties' types are is theirs, and reading them takes a minute.
    settings = "[mypy]\nignore_missing_imports = True\n[mypy-torch.*,transformers.*,peft.*]\n"
    (tmp_path / "mypy.ini").write_text(settings + "follow_imports = skip\n")
    mypy = (sys.executable, "-m", "mypy", "--python-executable", bin_folder / "python")
    done = called(*mypy, "program.py", cwd=tmp_path, exit_code=1)
    assert "Found 1 error in 1 file" in done.stdout, done.stdout
    assert 'program.py:2: note: Revealed type is "pandas.core.frame.DataFrame"' in done.stdout
    assert 'program.py:3: note: Revealed type is "int"' in done.stdout
    assert 'program.py:4: error: Module has no attribute "evalute"' in done.stdout

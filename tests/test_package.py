"""The project's own files hold together: README commands, manifest, sizes, what is declared."""

import ast
import os
import re
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "napari_cellseg"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = sorted(path for path in SRC.rglob("*.py") if path.name != "_version.py")


def readme_command(name: str) -> str:
    blocks = re.findall(rf"^<!-- command: {name} -->\n```bash\n(.*?)\n```$", README, flags=re.M | re.S)
    assert len(blocks) == 1
    return blocks[0]


@pytest.mark.parametrize(
    ("name", "venv", "end"), [("demo", ".venv-demo", "demo demo-out"), ("test", ".venv-test", "bin/tox")]
)
def test_readme_has_each_command_on_one_line(name, venv, end):
    command = readme_command(name)
    assert "\n" not in command
    assert f"python3 -m venv {venv}" in command
    assert command.endswith(end)


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    program = re.search(r"\$\((awk .*)\)", script)[1]
    run = subprocess.run(["sh", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == readme_command("test")


@pytest.mark.parametrize("name", [".ci/run", "scripts/system-packages"])
def test_scripts_are_executable(name):
    assert (ROOT / name).stat().st_mode & stat.S_IXUSR


def test_readme_images_and_links_are_absolute():
    assert not re.findall(r"\]\((?!https://)[^)]*\)", README)


def test_manifest_is_in_the_package_with_a_link_at_the_root():
    link = ROOT / "napari.yaml"
    # git's core.symlinks=false checks a link out as a file that names its target.
    target = os.readlink(link) if link.is_symlink() else link.read_text(encoding="utf-8")
    assert (ROOT / target).resolve() == (SRC / "napari.yaml").resolve()
    assert PROJECT["entry-points"]["napari.manifest"] == {PROJECT["name"]: "napari_cellseg:napari.yaml"}


def imported_by(path: Path) -> set[str]:
    """Top-level names of what a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"napari_cellseg"}


def declared(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def distributions(names: set[str]) -> set[str]:
    known = packages_distributions()
    return {known.get(name, [name])[0].lower().replace("_", "-") for name in names}


def test_what_the_core_imports_is_declared():
    core = [path for path in SOURCES if "gui" not in path.relative_to(SRC).parts]
    imported = distributions(set().union(*map(imported_by, core)))
    base = declared(PROJECT["dependencies"])
    optional = declared(list(chain.from_iterable(PROJECT["optional-dependencies"].values())))
    assert imported - base - optional == set()


def test_nothing_is_declared_that_is_not_imported():
    imported = distributions(set().union(*map(imported_by, SOURCES)))
    # tifffile decodes LZW and JPEG with imagecodecs, which nobody has to import.
    assert declared(PROJECT["dependencies"]) - imported - {"imagecodecs"} == set()


def test_gui_imports_what_its_extra_declares():
    gui = [path for path in SOURCES if "gui" in path.relative_to(SRC).parts]
    imported = distributions(set().union(*map(imported_by, gui)))
    allowed = declared(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["gui"])
    assert imported - allowed == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SRC)))
def test_files_and_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    functions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    too_long = {node.name: length for node in functions if (length := code_lines(node)) > 50}
    assert not too_long


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno - body[0].lineno + 2) if body else 1


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="the script asks dpkg")
def test_system_packages_script_says_what_it_takes():
    run = subprocess.run(
        [ROOT / "scripts" / "system-packages", "kitchen"],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert run.returncode == 2
    assert "expected venv, windows or relion" in run.stderr

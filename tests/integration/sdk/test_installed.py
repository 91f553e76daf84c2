"""What the client's README says of installing works: a wheel is made, installed alone, and talks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

SDK = Path(__file__).resolve().parents[3] / "sdk" / "python"


def run(*command: object, environment: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel. Nothing is fetched: the tools and the two libraries of
    this environment serve."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "python"
    shutil.copytree(SDK, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder / "dist", source)
    (wheel,) = (folder / "dist").glob("qianwan_client-*.whl")
    run(*pip, "install", "--no-deps", "--target", folder / "site", wheel)
    return folder / "site"


def test_the_wheel_holds_the_typed_package_and_nothing_else(site: Path) -> None:
    assert {path.name.split("-")[0] for path in site.iterdir()} == {"qianwan", "qianwan_client"}
    assert (site / "qianwan" / "py.typed").exists()
    said = {path.relative_to(SDK) for path in (SDK / "qianwan").rglob("*.py")}
    assert said == {path.relative_to(site) for path in (site / "qianwan").rglob("*.py")}


def test_the_installed_client_talks(site: Path, server: ServerProcess, tmp_path: Path) -> None:
    example = shutil.copy(SDK / "examples" / "hello.py", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = run(sys.executable, "-c", "import qianwan; print(qianwan.__file__)", environment=environment)
    assert where.startswith(str(site))
    tokens = (server.token("anna-installed"), server.token("ben-installed"))
    said = run(sys.executable, example, server.url, *tokens, environment=environment)
    assert "ben-installed: anna-installed says 'hello'" in said


def test_the_readme_promises_no_index() -> None:
    text = (SDK / "README.md").read_text()
    assert "pip install ./sdk/python" in text
    assert "pip install qianwan-client" not in text

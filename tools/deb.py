"""Builds the Debian package of the server, into dist/: a virtual environment in /opt/qianwan with the wheel
and what it needs, the units, the settings as a conffile. It is for the Debian it is built on.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools import wheels

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"
HOME = "/opt/qianwan"
CONTROL = """\
Package: qianwan
Version: {version}
Architecture: {architecture}
Maintainer: Qianwan <qianwan@localhost>
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next}), libc6
Section: net
Priority: optional
Description: Long-connection layer and message service of an instant-messaging cloud
 One program with three roles (gateway, im, control), in /opt/qianwan, with
 hardened systemd units. Settings are in /etc/qianwan/qianwan.toml.
"""
CONFFILES = ("etc/qianwan/qianwan.toml",)
FILES = {
    "deploy/qianwan.toml": "etc/qianwan/qianwan.toml",
    "deploy/systemd/qianwan.service": "lib/systemd/system/qianwan.service",
    "deploy/systemd/qianwan@.service": "lib/systemd/system/qianwan@.service",
    "deploy/systemd/gateway.env": "usr/share/doc/qianwan/examples/gateway.env",
    "deploy/systemd/im.env": "usr/share/doc/qianwan/examples/im.env",
    "deploy/systemd/control.env": "usr/share/doc/qianwan/examples/control.env",
    "deploy/sysctl.conf": "usr/share/doc/qianwan/examples/60-qianwan.conf",
    "deploy/prometheus/alerts.yml": "usr/share/doc/qianwan/examples/alerts.yml",
    "docs/OPERATIONS.md": "usr/share/doc/qianwan/OPERATIONS.md",
    "LICENSE": "usr/share/doc/qianwan/copyright",
}


class OtherPython(Exception):
    """The modules were built for a Python that is not the one the package is for."""


def same_python(theirs: str, ours: tuple[int, int] = sys.version_info[:2]) -> None:
    """Compiled modules load in the minor version that they were built for, and in no other."""
    if theirs != (built := "{}.{}".format(*ours)):
        say = f"{PYTHON} is Python {theirs}, the modules were built for {built}"
        raise OtherPython(f"{say}: make clean, remove .venv, then make deb PYTHON={PYTHON}")


def lay_out(tree: Path) -> None:
    """All but the program itself, with the modes it is installed with."""
    for source, target in FILES.items():
        place = tree / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, place)
        place.chmod(0o644)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/qianwan").symlink_to(f"{HOME}/bin/qianwan")


def install(tree: Path, wheel: Path) -> None:
    """The virtual environment, with paths as they are once it is installed."""
    place = tree / HOME.lstrip("/")
    _run(PYTHON, "-m", "venv", "--without-pip", str(place))
    pip = (sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "-q")
    _run(*pip, "--no-compile", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt"), str(wheel))
    for script in (path for path in (place / "bin").iterdir() if not path.is_symlink()):
        script.write_text(script.read_text().replace(str(place), HOME))
    for origin in place.glob("lib/*/site-packages/qianwan_server-*.dist-info/direct_url.json"):
        origin.unlink()  # the wheel's path on this machine
    config = place / "pyvenv.cfg"
    config.write_text(config.read_text().replace(str(place), HOME))


def describe(tree: Path, version: str) -> None:
    """DEBIAN/: what dpkg reads."""
    folder = tree / "DEBIAN"
    folder.mkdir()
    told = _version()
    size = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
    text = CONTROL.format(
        version=version,
        architecture=_run("dpkg", "--print-architecture").strip(),
        size=size,
        python=told,
        next=f"3.{int(told.split('.')[1]) + 1}",
    )
    (folder / "control").write_text(text)
    (folder / "conffiles").write_text("".join(f"/{name}\n" for name in CONFFILES))
    for name in ("postinst", "prerm"):
        shutil.copyfile(ROOT / "deploy" / "debian" / name, folder / name)
        (folder / name).chmod(0o755)


def _version() -> str:
    return _run(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


def pack(tree: Path, target: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    told = _run("dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", str(tree), str(target))
    (name,) = re.findall(r"in '(.*\.deb)'", told)
    return Path(name)


def build(target: Path) -> Path:
    """The package, in `target`. The C modules must be built. Raises OtherPython."""
    same_python(_version())
    with tempfile.TemporaryDirectory() as folder:
        server, _ = wheels.build(Path(folder, "wheels"))
        tree = Path(folder, "tree")
        tree.mkdir(mode=0o755)
        lay_out(tree)
        install(tree, server)
        describe(tree, server.name.split("-")[1])
        return pack(tree, target)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="build the Debian package")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    try:
        print(build(parser.parse_args().out))
    except OtherPython as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

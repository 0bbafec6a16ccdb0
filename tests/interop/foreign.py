"""Foreign programs from Debian's archive: fetched by apt and unpacked into a directory of our own, so that nothing is installed
or started on the machine. Fails hard, with the reason, when that cannot be done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OWN = Path(sys.prefix) / "interop"
"""Inside the virtual environment: `make clean` removes it."""
_PLACES = os.pathsep.join(str(OWN / "usr" / place) for place in ("bin", "sbin"))
ROUNDS_MAX = 5
"""Libraries of libraries of ...: so deep at most."""
_ODD = {
    "libvorbis.so.0": "libvorbis0a",
    "libcares.so.2": "libc-ares2",
    "libsmi.so.2": "libsmi2ldbl",
    "libsnappy.so.1": "libsnappy1v5",
    "libpcreposix.so.3": "libpcre3",
}


class Missing(Exception):
    """A foreign program cannot be had here; the text says why."""


def run(*command: str, cwd: Path | None = None) -> str:
    """A command's output. Raises Missing with its last words."""
    try:
        ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not on this machine: interop needs a Debian or Ubuntu with apt") from None
    if ended.returncode:
        words = (ended.stderr or ended.stdout).strip().splitlines()
        raise Missing(f"{' '.join(command)} ended with {ended.returncode}: {words[-1] if words else 'without a word'}")
    return ended.stdout


def fetch(package: str) -> None:
    """Downloads a package and unpacks it into OWN."""
    OWN.mkdir(parents=True, exist_ok=True)
    try:
        run("apt-get", "download", package, cwd=OWN)
    except Missing:
        run("apt-get", "update")  # the lists may be empty or old
        run("apt-get", "download", package, cwd=OWN)
    for archive in OWN.glob(f"{package}_*.deb"):
        run("dpkg-deb", "-x", str(archive), str(OWN))
        archive.unlink()


def program(name: str, package: str) -> str:
    """Path of a program: from PATH, else unpacked from its package with the libraries it lacks."""
    found = shutil.which(name) or shutil.which(name, path=_PLACES)
    if found is None:
        fetch(package)
        found = shutil.which(name, path=_PLACES)
    if found is None:
        raise Missing(f"the package {package} brings no {name}")
    return complete(found)


def browser() -> str:
    """Path of Chromium's binary (not its starter, which looks for it where it would be installed)."""
    found = OWN / "usr" / "lib" / "chromium" / "chromium"
    if not found.exists():
        fetch("chromium")
        fetch("chromium-common")
    return complete(str(found))


def part(pattern: str, package: str) -> str:
    """Path of a file that a package brings, e.g. an extension of an interpreter."""
    found = list(OWN.glob(pattern))
    if not found:
        fetch(package)
        found = list(OWN.glob(pattern))
    if not found:
        raise Missing(f"the package {package} brings no {pattern}")
    return complete(str(found[0]))


def complete(path: str) -> str:
    """The path of a binary, after the libraries it lacks were fetched, and those that these lack."""
    for _ in range(ROUNDS_MAX):
        lacking = sorted(set(_lacking(path)))
        if not lacking:
            return path
        for library in lacking:
            fetch(_package_of(library))
    raise Missing(f"{path} lacks {', '.join(_lacking(path))}")


def environment() -> dict[str, str]:
    """Where unpacked programs find their libraries."""
    folders = sorted({str(path.parent) for path in OWN.glob("**/*.so*")})
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}


def _lacking(path: str) -> list[str]:
    shown = subprocess.run(["ldd", path], capture_output=True, text=True, env=environment(), check=False).stdout
    return [line.split()[0] for line in shown.splitlines() if "not found" in line]


def _package_of(library: str) -> str:
    """Debian names a library's package after it: libjemalloc.so.2 is in libjemalloc2. Nearly always."""
    name, _, version = library.lower().partition(".so.")
    return _ODD.get(library) or (f"{name}-{version}" if name[-1].isdigit() else name + version)

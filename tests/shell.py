"""Printed shell lines, run as they stand: with curl and redis-cli where a machine has them, else with stand-ins of ours.

The fast suite must need nothing but Python. A stand-in takes only the options that printed lines use, and ends with an error
for any other.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_REDIS_CLI = """#!{python}
import sys, redis
_, option, port, *command = sys.argv
assert option == "-p", option
print(redis.Redis(port=int(port)).execute_command(*command).decode())
"""
_CURL = """#!{python}
import argparse, http.client, sys, urllib.parse
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("target", nargs="?")
parser.add_argument("--url")
parser.add_argument("-X", "--request")
parser.add_argument("-H", "--header", action="append", default=[])
parser.add_argument("-d", "--data")
parser.add_argument("-G", "--get", action="store_true")
parser.add_argument("-s", "--silent", action="store_true")
parser.add_argument("-f", "--fail", action="store_true")
parser.add_argument("-w", "--write-out", default="")
asked = parser.parse_args()
url = urllib.parse.urlsplit(asked.url or asked.target)
headers = {"User-Agent": "curl/0", "Accept": "*/*"}
if asked.data is not None:
    headers["Content-Type"] = "application/x-www-form-urlencoded"
for line in asked.header:
    name, _, value = line.partition(":")
    headers = {known: v for known, v in headers.items() if known.lower() != name.lower()} | {name: value.strip()}
connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
path = (url.path or "/") + ("?" + url.query if url.query else "")
body = None if asked.data is None or asked.get else asked.data.replace("\\n", "").encode()
connection.request(asked.request or ("GET" if body is None else "POST"), path, body, headers)
answer = connection.getresponse()
if asked.fail and answer.status >= 400:
    sys.exit(22)
sys.stdout.buffer.write(answer.read() + asked.write_out.replace("\\\\n", "\\n").encode())
"""
_STAND_INS = {"redis-cli": _REDIS_CLI, "curl": _CURL}


@functools.cache
def _directory(names: tuple[str, ...]) -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="stand-ins-")
    for name in names:
        command = Path(made.name) / name
        command.write_text(_STAND_INS[name].replace("{python}", sys.executable), encoding="utf-8")
        command.chmod(0o755)
    return made


def environment(*, stand_ins: bool = False) -> dict[str, str]:
    """The process's, with stand-ins in front for what the machine lacks, or for all."""
    names = tuple(name for name in _STAND_INS if stand_ins or shutil.which(name) is None)
    return {**os.environ, "PATH": f"{_directory(names).name}{os.pathsep}{os.environ['PATH']}"}


def shell(lines: str, *, stand_ins: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the lines do. Any command that fails ends them."""
    return subprocess.run(
        ["sh", "-euc", lines],
        env={**environment(stand_ins=stand_ins), **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

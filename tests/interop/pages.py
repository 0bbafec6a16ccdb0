"""The pages for people, in a real browser without a network: they must show everything from themselves alone.

`python -m tests.interop.pages [--pictures DIR]` also writes the pictures that docs/ shows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.contract.ground import Running, started
from tests.interop.foreign import Missing, browser, environment

Check = Callable[[str, bool, str], None]
PAGES = {
    "docs": ("/docs", ("/v1/messages/batch", "insufficient_balance", "/otp/verify", "/smsAPI", "/api/sms/track/{smsId}")),
    "swagger": ("/api/v2", ("/api/v2/sms/send", "/api/generate-key", "message_body")),
}
"""Name -> path, words that must be in what the browser shows once it has rendered."""
SIZE = (1200, 1600)


def look(binary: str, url: str, picture: Path) -> str:
    """What a page holds after its scripts have run; its picture too. Names are not resolved: nothing comes from elsewhere."""
    with tempfile.TemporaryDirectory() as profile:
        common = [
            binary,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
            f"--window-size={SIZE[0]},{SIZE[1]}",
            "--virtual-time-budget=5000",
        ]
        shown = subprocess.run(
            [*common, "--dump-dom", url], capture_output=True, text=True, timeout=120, env=environment(), check=False
        )
        subprocess.run(
            [*common, f"--screenshot={picture}", url], capture_output=True, timeout=120, env=environment(), check=False
        )
    return shown.stdout


def show_pages(running: Running, directory: Path, check: Check) -> None:
    """Renders each page; its words must be there, its picture must not be empty. Raises Missing without a browser."""
    binary = browser()
    for name, (path, words) in PAGES.items():
        picture = directory / f"{name}.png"
        text = look(binary, f"{running.base}{path}", picture)
        missing = [word for word in words if word not in text]
        check(f"the browser shows {path}", not missing, f"without {', '.join(missing)}: {text[:200]!r}")
        check(f"picture of {path}", picture.exists() and picture.stat().st_size > 10_000, "no picture")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=Path("docs/pictures"))
    pictures = parser.parse_args().pictures.resolve()
    pictures.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []

    def check(name: str, well: bool, why: str) -> None:
        print(f"{'ok  ' if well else 'FAIL'}  {name}{'' if well else ': ' + why}")
        if not well:
            faults.append(name)

    try:
        with started() as running:
            show_pages(running, pictures, check)
    except Missing as error:
        print(f"FAIL {error}")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

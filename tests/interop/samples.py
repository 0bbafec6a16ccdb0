"""The samples printed in the dialects' source documents in the languages that the fast suite cannot run: JavaScript by Node,
PHP by its own interpreter, unchanged but for base address, credentials and placeholders.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from tests.contract import laravel_shop
from tests.contract.chinqit_shop import BASE, SAMPLES, Shop
from tests.contract.ground import Running, started
from tests.interop.foreign import environment, part, program

Check = Callable[[str, bool, str], None]
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Interpreters:
    """Node and PHP with curl."""

    def __init__(self) -> None:
        """Raises Missing."""
        self.node = program("node", "nodejs")
        self.php = program("php8.2", "php8.2-cli")
        self.curl = part("usr/lib/php/*/curl.so", "php8.2-curl")

    def run(self, path: Path, replaced: Mapping[str, str], after: str = "") -> str:
        """What a sample prints, with words replaced, `after` appended; its errors too when it fails."""
        text = path.read_text(encoding="utf-8")
        for printed, ours in replaced.items():
            text = text.replace(printed, ours)
        javascript = [self.node, "--input-type=module", "-"]
        command = javascript if path.suffix == ".js" else [self.php, "-n", "-d", f"extension={self.curl}"]
        ended = subprocess.run(
            command, input=text + after, capture_output=True, text=True, timeout=60, env=environment(), check=False
        )
        return ended.stdout.strip() if ended.returncode == 0 else f"ended with {ended.returncode}: {ended.stderr}{ended.stdout}"


def chinqit(running: Running, run: Interpreters, check: Check) -> None:
    """Sections "JavaScript" and "PHP" of the two Chinqit documents."""
    shop = Shop(running, "foreign")
    ours = {BASE: running.base, "your-api-key": shop.key, "your_api_key_here": shop.key}

    def says(name: str, wanted: str, after: str = "", **more: str) -> str:
        printed = run.run(SAMPLES / name, ours | more, after)
        check(f"{name} prints {wanted}", re.search(wanted, printed) is not None, printed)
        return printed

    says("send_message.js", f"^Message ID: {UUID}$")
    says("send_otp.js", "^OTP expires in: undefined seconds$")  # the second request asks for WhatsApp: 502 without a provider
    says("verify_otp.js", r"^Invalid OTP\. Retries left: 2$", **{'"123456"': '"12345x"'.replace("x", _wrong(shop))})
    says("verify_otp.js", "^OTP verified successfully$", **{'"123456"': f'"{shop.code("1234567890", 2)}"'})
    batch = says("bulk.js", f"^{UUID}$")
    says("bulk.php", f"^{UUID}$")
    says("poll.js", "Batch complete!", after=f"\nawait checkStatus('{batch}');\n")


def _wrong(shop: Shop) -> str:
    """A last digit with which 12345 is not the code that was sent."""
    return "7" if shop.code("1234567890", 2) != "123457" else "8"


def laravel(running: Running, run: Interpreters, check: Check) -> None:
    """Section "JavaScript" of every endpoint. The samples print nothing: status and body that they got are shown instead."""
    for path in sorted(laravel_shop.SAMPLES.glob("*.js")):
        shown = {"response => response.json()": "async response => console.log(response.status, await response.text())"}
        printed = run.run(path, {laravel_shop.BASE: running.base} | shown)
        status, _, said = printed.partition(" ")
        try:
            laravel_shop.check_sample(path.stem, int(status), said)
            right = True
        except (AssertionError, ValueError):
            right = False
        check(f"{path.name} of Laravel gets the printed answer", right, printed)


def laravel_by_its_customer(running: Running, run: Interpreters, check: Check) -> None:
    """The same with credentials in the query, where the samples have none: the documented days, a send, a balance, the end."""
    user = laravel_shop.User(running, "script", "10")
    shown = {"response => response.json()": "async response => console.log(await response.text())"}

    def says(name: str, query: str, wanted: str) -> str:
        printed = f"{laravel_shop.BASE}/{name.replace('_', '/')}"
        said = run.run(
            laravel_shop.SAMPLES / f"{name}.js", {printed: f"{printed}?{query}", laravel_shop.BASE: running.base} | shown
        )
        check(f"{name}.js with credentials gets {wanted}", re.search(wanted, said) is not None, said)
        return said

    login = urlencode(user.login)
    says("api_generate-key", login, r'"API key generated successfully".+"expires_at":"\d')
    made = says("api_regenerate-key", login, r'"API key regenerated successfully".+"expires_at":"\d')
    found = re.search('"api_key":"([0-9a-f]{64})"', made)
    key = f"api_key={found[1] if found else ''}"
    says("api_v2_sms_send", f"{key}&numbers=0709000222&message_body=script", '"status":"success"')
    says("api_v2_account_balance", key, '^{"balance":9,"currency":"KES"}$')
    says("api_revoke-key", key, "API key revoked successfully")


def run_samples(check: Check) -> None:
    """All of them against one running dispatcher. Raises Missing when an interpreter cannot be had."""
    run = Interpreters()
    with started() as running:
        chinqit(running, run, check)
        laravel(running, run, check)
        laravel_by_its_customer(running, run, check)

"""What a bind may say about TLS: that it is on, or off by choice, and files that fit each other.

It refuses to know sockets: whether the carrier's certificate is good shows when it is called.
"""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path as FilePath
from typing import Any

from dispatcher.ops.findings import Report
from dispatcher.ops.toml_lines import Path
from smpp.tls import KeyIsEncrypted, client_context

ENCRYPTED = ("is encrypted", "store the key without a passphrase, in a file that only the service can read")
"""What is wrong with such a key, and the remedy."""
_OPTIONS = ("tls_ca_file", "tls_server_name", "tls_cert_file", "tls_key_file")


def check_tls(report: Report, path: Path, bind: dict[str, Any], base_dir: FilePath) -> None:
    """Adds a finding for plain text that nobody chose, for options without effect, and for files that cannot be used."""
    texts = {key: bind[key] for key in _OPTIONS if isinstance(bind.get(key), str) and bind[key]}
    host = bind.get("host")
    if "tls" not in bind and isinstance(host, str) and host and not _is_here(host):
        remedy = "write tls = true, or tls = false if the way to the carrier is safe without it"
        report.add((*path, "tls"), "is not said, and the host is another machine", remedy, value=host)
    if not bind.get("tls"):
        for key, value in texts.items():
            report.add((*path, key), "has no effect without tls", "add tls = true", value=value)
        return
    if "tls_key_file" in texts and "tls_cert_file" not in texts:
        report.add((*path, "tls_key_file"), "has no certificate", 'add tls_cert_file = "FILE"', value=texts["tls_key_file"])
        return
    files = {key: str(base_dir / value) for key, value in texts.items() if key != "tls_server_name"}
    missing = [key for key, name in files.items() if not FilePath(name).is_file()]
    for key in missing:
        report.add((*path, key), "is not there", "correct the name", value=texts[key])
    if missing:
        return
    try:
        client_context(files.get("tls_ca_file", ""), files.get("tls_cert_file", ""), files.get("tls_key_file", ""))
    except KeyIsEncrypted:
        key = "tls_key_file" if "tls_key_file" in texts else "tls_cert_file"
        report.add((*path, key), *ENCRYPTED, value=texts[key])
    except OSError as error:  # ssl.SSLError is one
        bad = "tls_cert_file" if "tls_cert_file" in files and not _is_bad_ca(files) else "tls_ca_file"
        why = "holds no PEM certificate with its key" if bad == "tls_cert_file" else "holds no PEM certificate"
        if not isinstance(error, ssl.SSLError):
            why = f"cannot be read ({(error.strerror or 'for no told reason').lower()})"
        report.add((*path, bad), why, "name PEM files that belong together", value=texts[bad])


def _is_bad_ca(files: dict[str, str]) -> bool:
    try:
        ssl.create_default_context(cafile=files.get("tls_ca_file"))
    except OSError:
        return True
    return False


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

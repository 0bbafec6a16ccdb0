"""What [http] and [notices] may say about TLS, proxies and networks, checked before a process starts."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path as FilePath
from typing import Any

from dispatcher.ops.findings import Report
from dispatcher.ops.tls_rules import ENCRYPTED
from smpp.tls import KeyIsEncrypted, server_context

_CERT, _KEY = ("http", "tls_cert_file"), ("http", "tls_key_file")


def check_http(report: Report, http: dict[str, Any], base_dir: FilePath) -> None:
    """Adds a finding for each thing that the door could not be opened with."""
    _tls(report, http.get("tls_cert_file", ""), http.get("tls_key_file", ""), base_dir)
    _networks(report, "http", "trusted_proxies", http)


def check_notices(report: Report, notices: dict[str, Any]) -> None:
    """Adds a finding for each network that is none."""
    _networks(report, "notices", "allow_networks", notices)


def _networks(report: Report, table: str, key: str, settings: dict[str, Any]) -> None:
    names = settings.get(key, [])
    for index, name in enumerate(names if isinstance(names, list) else []):
        try:
            ipaddress.ip_network(str(name))
        except ValueError:
            remedy = 'write like "10.0.0.5" or "10.0.0.0/24"'
            report.add((table, key, index), "is neither an address nor a network", remedy, value=name)


def _tls(report: Report, cert: Any, key: Any, base_dir: FilePath) -> None:
    if not isinstance(cert, str) or not isinstance(key, str) or not (cert or key):
        return
    if not key:
        report.add(_KEY, "is missing beside tls_cert_file", 'add tls_key_file = "FILE"')
    elif not cert:
        report.add(_CERT, "is missing beside tls_key_file", 'add tls_cert_file = "FILE"')
    else:
        try:
            server_context(str(base_dir / cert), str(base_dir / key))
        except KeyIsEncrypted:
            report.add(_KEY, *ENCRYPTED, value=key)
        except ssl.SSLError:
            report.add(_CERT, "and tls_key_file are no PEM certificate with its key", "correct one of them", value=cert)
        except OSError as error:
            why = (error.strerror or "cannot be read").lower()
            report.add(_CERT, f"or tls_key_file cannot be read ({why})", "correct the names or their modes", value=cert)

"""The address of the store, as the settings give it: with its password filled in for clients, masked for people."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from dispatcher.core.settings import Settings
from dispatcher.ops.errors import OpsError


def store_url(settings: Settings) -> str:
    """Where clients connect: server.url with the password of server.password_file, or the embedded server's address.

    Raises OpsError when the password cannot be read."""
    server = settings.server
    if not server.url:
        return f"redis://127.0.0.1:{server.embedded_port}"
    if not server.password_file:
        return server.url
    try:
        password = Path(server.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise OpsError(f"server.password_file cannot be read ({error.strerror})", "correct the name or its mode") from None
    parts = urlsplit(server.url)
    user, _, address = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{address}"))

"""Connections and listeners, in plain text or under TLS: contexts that verify, and who may leave out what.

It refuses to know SMPP. A client's context always verifies the peer's certificate and its name, by the system's authorities or
by those of a file; one that does not is not made here. Plain text is what a caller gets who passes no context.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import trio


class KeyIsEncrypted(ssl.SSLError):
    """A key has a passphrase. Nobody is asked for it: a service has nobody to ask, and must not wait for one at a terminal."""


def client_context(ca_file: str = "", cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """For a client. `ca_file`: the only authorities that count; `cert_file` (a chain) and `key_file` (empty: in the same file):
    our own certificate, for peers that ask for one. Raises OSError, ssl.SSLError for files that are none, KeyIsEncrypted."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file or None)
    if cert_file:
        context.load_cert_chain(cert_file, key_file or None, _passphrase)
    return context


def server_context(cert_file: str, key_file: str = "", client_ca_file: str = "") -> ssl.SSLContext:
    """For a server. With `client_ca_file` only clients with a certificate of that authority are let in. Raises OSError,
    ssl.SSLError, KeyIsEncrypted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca_file or None)
    context.load_cert_chain(cert_file, key_file or None, _passphrase)
    if client_ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _passphrase() -> str:
    raise KeyIsEncrypted(1, "the key is encrypted")


async def dial(host: str, port: int, context: ssl.SSLContext | None = None, server_name: str = "") -> trio.abc.Stream:
    """A connection, its handshake done. `server_name`: asked for (SNI) and expected in the certificate; empty: `host`.
    Raises OSError, trio.BrokenResourceError (TLS refused); nothing stays open then. Bounded by the caller's deadline only."""
    stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
    if context is None:
        return stream
    try:
        secured = trio.SSLStream(stream, context, server_hostname=server_name or host, https_compatible=True)
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


async def listen(
    host: str, port: int, context: ssl.SSLContext | None = None
) -> tuple[Sequence[trio.abc.Listener[trio.abc.Stream]], int]:
    """Listeners, and the port that they got. A handshake happens with the first read, in the accepted link's own task."""
    plain = await trio.open_tcp_listeners(port, host=host)
    got: int = plain[0].socket.getsockname()[1]
    if context is None:
        return plain, got
    return [trio.SSLListener(each, context, https_compatible=True) for each in plain], got

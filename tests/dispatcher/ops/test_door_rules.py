"""TLS and trusted proxies of the HTTP door: what the configuration refuses, and a door that speaks TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
import uvicorn

from dispatcher.core.door_settings import Http
from dispatcher.ingest import server
from dispatcher.ops import config
from smpp.simulator.scenario import ScenarioError, parse


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command + more, check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('tls_cert_file = "cert.pem"', "http.tls_key_file", "is missing beside tls_cert_file"),
        ('tls_key_file = "key.pem"', "http.tls_cert_file", "is missing beside tls_key_file"),
        ('tls_cert_file = "none.pem"\ntls_key_file = "key.pem"', "http.tls_cert_file", "cannot be read"),
        ('tls_cert_file = "key.pem"\ntls_key_file = "key.pem"', "http.tls_cert_file", "no PEM certificate with its key"),
        ('trusted_proxies = ["10.0.0.0/8", "10.0.0.300"]', "http.trusted_proxies", "neither an address nor a network"),
    ],
)
def test_what_cannot_be_opened_is_refused(pair: tuple[Path, Path], text: str, key: str, problem: str) -> None:
    """Each mistake names its key and what to do, before anything starts."""
    file = pair[0].parent / "dispatcher.toml"
    file.write_text(f"[http]\n{text}\n")
    settings, findings = config.inspect(file)
    assert settings is None
    found = [finding for finding in findings if finding.key.startswith(key)]
    assert found, findings
    assert problem in found[0].problem
    assert found[0].remedy


def test_nobody_is_asked_for_a_passphrase(pair: tuple[Path, Path]) -> None:
    """A service that waits for one at a terminal does not start: of the HTTP door, a bind and a simulated carrier the encrypted
    key is refused by name, with its remedy."""
    folder = pair[0].parent
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:secret", "-in", str(pair[1]), "-out", str(folder / "locked.pem")]
    subprocess.run(command, check=True, capture_output=True)
    files = f'tls_cert_file = "{pair[0]}"\ntls_key_file = "{folder / "locked.pem"}"\n'
    file = folder / "dispatcher.toml"
    for text, key in (
        (f"[http]\n{files}", "http.tls_key_file"),
        (
            f'[[carrier]]\nname = "one"\n[[carrier.bind]]\nhost = "::1"\ntls = true\n{files}',
            "carrier[one].bind[0].tls_key_file",
        ),
    ):
        file.write_text(text)
        found = [finding for finding in config.inspect(file)[1] if finding.key == key]
        assert [finding.problem for finding in found] == ["is encrypted"]
        assert "without a passphrase" in found[0].remedy
    with pytest.raises(ScenarioError, match="tls_cert_file: the key is encrypted; name PEM files"):
        parse(f'{files}[[login]]\nsystem_id = "a"\npassword = "b"\n')


def test_files_are_looked_for_beside_the_configuration(pair: tuple[Path, Path]) -> None:
    """Relative names work from wherever the dispatcher is started."""
    file = pair[0].parent / "dispatcher.toml"
    file.write_text('[http]\ntls_cert_file = "cert.pem"\ntls_key_file = "key.pem"\n')
    settings, findings = config.inspect(file)
    assert settings is not None, findings
    assert (settings.http.tls_cert_file, settings.http.tls_key_file) == (str(pair[0]), str(pair[1]))


async def _asked(http: Http, url: str, verify: ssl.SSLContext | bool, **headers: str) -> httpx.Response:
    """One request to a door of these settings that answers with the caller's address."""

    async def app(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
            await send({"type": "http.response.body", "body": scope["client"][0].encode()})  # type: ignore[operator]

    listening = socket.create_server(("127.0.0.1", 0))
    served = uvicorn.Server(server.config(app, http, lifespan="off"))
    task = asyncio.create_task(served.serve([listening]))
    try:
        while not served.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(verify=verify) as client:
            return await client.get(url.format(port=listening.getsockname()[1]), headers=headers)
    finally:
        served.should_exit = True
        await task


def test_the_door_speaks_tls(pair: tuple[Path, Path]) -> None:
    """With a certificate the same port speaks TLS, and nothing else."""
    http = Http(tls_cert_file=str(pair[0]), tls_key_file=str(pair[1]))
    trust = ssl.create_default_context(cafile=str(pair[0]))
    assert asyncio.run(_asked(http, "https://localhost:{port}/", trust)).status_code == 200
    with pytest.raises(httpx.HTTPError):
        asyncio.run(_asked(http, "http://localhost:{port}/", trust))


@pytest.mark.parametrize(("trusted", "seen"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")])
def test_only_a_trusted_proxy_is_believed(trusted: tuple[str, ...], seen: str) -> None:
    """X-Forwarded-For counts from a named proxy only: else anybody could leave the limits of his address."""
    http = Http(trusted_proxies=trusted)
    answer = asyncio.run(_asked(http, "http://127.0.0.1:{port}/", True, **{"X-Forwarded-For": "203.0.113.9"}))
    assert answer.text == seen

"""TLS with the certificate files in the settings, for connections to NATS and Redis, and for an edge's own ports. The
options of TLS for PostgreSQL are added to its URL."""

import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.errors import StartupError
from shared.setting_types import TlsFiles
from shared.settings import Settings
from shared.settings.edge import EdgeSettings
from shared.settings.servers import NatsSettings, RedisSettings


def nats_context(settings: NatsSettings) -> ssl.SSLContext | None:
    """The TLS context for NATS; None if the settings do not demand TLS. Raises StartupError."""
    wanted = settings.tls_ca or settings.tls_certificate or settings.url.startswith(("tls://", "wss://"))
    return _context("nats", settings) if wanted else None


def redis_options(settings: RedisSettings) -> dict[str, Any]:
    """The options with the files of TLS for the Redis client, which a rediss:// URL cannot contain."""
    files = {"ssl_ca_certs": settings.tls_ca, "ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key}
    return {name: path for name, path in files.items() if path}


def server_context(settings: EdgeSettings) -> ssl.SSLContext:
    """The TLS context for an edge's own ports, with the certificate of the edge. Raises StartupError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    _load_own(context, "edge", settings.tls_certificate, settings.tls_key)
    return context


def served_until(settings: EdgeSettings) -> datetime:
    """The end of the certificate that clients see. Raises StartupError."""
    from cryptography import x509  # the import is here because most processes do not need it

    path = settings.tls_certificate
    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise _unusable("edge", "tls_certificate", path, error) from error


def check_files(settings: Settings) -> None:
    """Checks all files. Raises StartupError if a file cannot be used."""
    for name in ("nats", "redis", "database"):
        files: TlsFiles = getattr(settings, name)
        # loading the certificate authorities of the operating system takes long
        if files.tls_ca or files.tls_certificate:
            _context(name, files)
    if settings.edge.tls_certificate:
        server_context(settings.edge)
        served_until(settings.edge)


def _context(section: str, files: TlsFiles) -> ssl.SSLContext:
    """A TLS context that trusts only the given authorities or, if none are given, those of the operating system."""
    try:
        context = ssl.create_default_context(cafile=files.tls_ca or None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(section, "tls_ca", files.tls_ca, error) from error
    if files.tls_certificate:
        _load_own(context, section, files.tls_certificate, files.tls_key)
    return context


def _load_own(context: ssl.SSLContext, section: str, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(section, "tls_certificate", certificate, error) from error


def _unusable(section: str, setting: str, path: str, error: OSError | ValueError) -> StartupError:
    reason = isinstance(error, OSError) and error.strerror
    return StartupError(
        f"{path} ({section}.{setting}) cannot be used: {reason or error}",
        f"Name a file in PEM format, readable by this user, in {section}.{setting}",
    )

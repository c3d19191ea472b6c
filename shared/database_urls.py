"""The URLs of databases, as settings have them and as SQLAlchemy does; pure."""

from urllib.parse import urlencode, urlsplit

from shared.setting_types import TlsFiles


def sqlalchemy_url(url: str, service: str) -> str:
    """Of a service's own database. In PostgreSQL each service has a schema of its name, unless the URL names it."""
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            url = "postgresql+psycopg://" + url.removeprefix(scheme)
    if "{service}" not in url and url.startswith("postgresql"):
        url += _separator(url) + "options=-csearch_path%3D{service}"
    return url.replace("{service}", service)


def with_tls(url: str, tls: TlsFiles) -> str:
    """A SQLAlchemy URL by which PostgreSQL's driver demands TLS and verifies the host's name, unless the URL has an
    `sslmode` of its own."""
    if not (tls.tls_ca or tls.tls_certificate) or not url.startswith("postgresql") or "sslmode=" in urlsplit(url).query:
        return url
    files = {"sslrootcert": tls.tls_ca or "system"}
    if tls.tls_certificate:
        files |= {"sslcert": tls.tls_certificate, "sslkey": tls.tls_key or tls.tls_certificate}
    return url + _separator(url) + urlencode({"sslmode": "verify-full", **files})


def _separator(url: str) -> str:
    return "&" if "?" in url else "?"

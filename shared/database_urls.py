"""The URLs of databases, as settings have them and as SQLAlchemy does; pure."""

from urllib.parse import urlsplit


def sqlalchemy_url(url: str, service: str) -> str:
    """Of a service's own database. In PostgreSQL each service has a schema of its name, unless the URL names it."""
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            url = "postgresql+psycopg://" + url.removeprefix(scheme)
    if "{service}" not in url and url.startswith("postgresql"):
        url += ("&" if "?" in url else "?") + "options=-csearch_path%3D{service}"
    return url.replace("{service}", service)


def place_of(url: str) -> str:
    """A URL of message without user and password, the port given: one database has one place."""
    parts = urlsplit(sqlalchemy_url(url, "message"))
    return f"{(parts.hostname or '').lower()}:{parts.port or 5432}{parts.path}?{parts.query}"

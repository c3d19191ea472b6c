"""Checks this machine: free disk space, file descriptors, permissions of secrets, writable directories."""

import os
import resource
import shutil
import stat
import sys
from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from local.up_plan import SERVICES
from services.cli.doctor.finding import Finding, failed, ok, unknown
from shared.settings import Settings
from shared.settings.edge import EdgeSettings

_LEAST_FREE_BYTES, _LEAST_FREE_SHARE = 1024**3, 0.1
"""The free space that a disk needs, in bytes and as a share of the disk. The smaller of the two is needed, because a
small disk never has the first."""
_SPARE_DESCRIPTORS = 256
"""The file descriptors that an edge needs in addition to its clients' connections."""
_LEAST_CONNECTIONS = 1_000
"""An edge must have file descriptors for at least this number of connections."""
_SOUND = {(3, 12): 9, (3, 13): 2}
"""For each version of Python, the first patch release whose asyncio bounds the buffer for a slow peer
(CVE-2024-12254)."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check(settings: Settings, processes: Collection[str]) -> list[Finding]:
    """Check whether this machine has what these processes need."""
    secret = [settings.data / "credentials.json", settings.auth.keys, *sorted(settings.auth.keys.glob("*.pem"))]
    findings = [*_disks(settings), *python(*sys.version_info[:3])]
    if "edge" in processes:
        findings += [_descriptors(settings), _writable("media", settings.media.directory, "media.directory")]
    if "search" in processes and settings.search.enabled:
        findings.append(_writable("search", settings.search.directory, "search.directory"))
    if "auth" in processes:
        findings.append(_private(secret))
        if settings.mail.is_on and not settings.mail.smtp_host:
            findings.append(_writable("mail", settings.mail.outbox, "mail.outbox"))
    return findings


def python(major: int, minor: int, patch: int) -> list[Finding]:
    """Warn if this version of Python has a known fault."""
    sound = _SOUND.get((major, minor), 0)
    if patch >= sound:
        return []
    what = f"{major}.{minor}.{patch} buffers without bound while NATS is slow (CVE-2024-12254)"
    return [failed("python", what, f"install {major}.{minor}.{sound} or later")]


def _descriptors(settings: Settings) -> Finding:
    """Check the limit of file descriptors. Each process raises its soft limit to the hard limit. If
    edge.max_connections has its default value, a lower limit is also accepted."""
    _, have = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.edge.max_connections
    need, room = wanted + _SPARE_DESCRIPTORS, have - _SPARE_DESCRIPTORS
    if have == resource.RLIM_INFINITY or have >= need:
        return ok("descriptors", f"{have} at most")
    remedy = f"ulimit -Hn {need}, or LimitNOFILE={need} of the unit"
    if wanted != EdgeSettings().max_connections or room < _LEAST_CONNECTIONS:
        return failed("descriptors", f"{have} descriptors are too few for edge.max_connections = {wanted}", remedy)
    return ok("descriptors", f"{have} descriptors: enough for {room} connections at each edge; for {wanted}: {remedy}")


def _disks(settings: Settings) -> list[Finding]:
    """Check each writable file system that has data of the system."""
    places: dict[int, Path] = {}
    for path in (
        settings.data,
        settings.auth.keys,
        settings.media.directory,
        settings.search.directory,
        *_database_files(settings),
    ):
        there = _nearest(path)
        if not _is_read_only(there):
            places.setdefault(there.stat().st_dev, there)
    return [_disk(path) for path in places.values()]


def _disk(path: Path) -> Finding:
    total, _, free = shutil.disk_usage(path)
    if free < min(_LEAST_FREE_BYTES, _LEAST_FREE_SHARE * total):
        return failed(
            "disk", f"{free // 2**20} MiB are free on the disk of {path}", "free some space: a full disk stops writes"
        )
    return ok("disk", f"{free / 2**30:.1f} GiB free on the disk of {path}")


def _database_files(settings: Settings) -> list[Path]:
    urls = [sa.make_url(settings.database_url(service)) for service in SERVICES]
    return [Path(url.database).parent for url in urls if url.get_backend_name() == "sqlite" and url.database]


def _private(paths: list[Path]) -> Finding:
    there = [path for path in paths if path.exists()]
    open_ = [path for path in there if path.stat().st_mode & _forbidden(path)]
    if open_:
        return failed("secrets", f"other users may read {open_[0]}", f"chmod go= {' '.join(map(str, open_))}")
    if not there:
        return unknown("secrets", "none exist yet")
    return ok("secrets", f"only the owner may read {len(there)} files and directories")


def _writable(what: str, directory: Path, setting: str) -> Finding:
    there = _nearest(directory)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ok(what, f"{directory} can be written")
    return failed(what, f"{directory} cannot be written", f"grant write permission, or set {setting}")


def _forbidden(path: Path) -> int:
    """The mode bits that the file of a secret must not have. A container runtime mounts secrets read-only, as files of
    another user that the group can read. Their directory is open to all users of the container, so it may have any
    mode."""
    if not _is_read_only(path):
        return _OTHERS
    if path.is_dir():
        return 0
    return _OTHERS if path.stat().st_uid == os.getuid() else stat.S_IRWXO


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _nearest(path: Path) -> Path:
    """The path itself, or its nearest existing parent."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())

"""Addresses in frames. For an address of this server, only the path is compared, because clients reach the server at
several origins."""

import re
from typing import NamedTuple

from services.edge.dialects.base import DecodeError
from services.edge.identicons import Kind, avatar_hash, avatar_path
from shared.contract.errors import ErrorCode
from shared.settings.limits import FrameLimits

_ADDRESS = re.compile(r"https?://[^/?#\s\x00-\x20\x7f]+(?P<path>[^\s\x00-\x20\x7f]*)", re.IGNORECASE)
_BELOW = r"(?:/[\w.~-]+)*"
"""A proxy may serve the server below a path; see edge.public_url."""
_MEDIA_PATH = re.compile(_BELOW + "/media/(?P<id>[0-9a-f]{32})")
_OWN_PATH = re.compile(_BELOW + r"(?P<own>/avatar/(?:account|chat)/[1-9][0-9]{0,18}\.png|/media/[0-9a-f]{32})")


class DisplayedAvatar(NamedTuple):
    """The address of an avatar, and the sha256 of its picture in hex."""

    avatar: str
    avatar_hash: str


def stored_address(address: str, limits: FrameLimits) -> str:
    """Return what is stored when a client sets this address as an avatar. For an address of this server, only the path
    is stored. An empty text means the generated avatar. Raises DecodeError."""
    if not address:
        return ""
    if len(address.encode()) > limits.address_url_bytes:
        most = f"an address has at most {limits.address_url_bytes} bytes"
        raise DecodeError(most, ErrorCode.TOO_LARGE, field="avatar")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise DecodeError("`avatar` must be an http or https address", field="avatar")
    own = _OWN_PATH.fullmatch(match["path"])
    return own["own"] if own else address


def media_id(address: str, limits: FrameLimits) -> str:
    """The media id in the address of a picture or file on this server. Raises DecodeError."""
    match = _ADDRESS.fullmatch(address) if len(address.encode()) <= limits.address_url_bytes else None
    own = match and _MEDIA_PATH.fullmatch(match["path"])
    if not own:
        raise DecodeError("`url` must be the address of a picture or file on this server", ErrorCode.NOT_FOUND)
    return own["id"]


def displayed_avatar(
    kind: Kind, number: int, stored: DisplayedAvatar, base_url: str, own_only: bool
) -> DisplayedAvatar:
    """The avatar to show for an account or chat. This is the stored avatar or, if there is none, the generated picture
    and its hash. With `own_only`, the generated avatar also replaces any address outside this server."""
    own = stored.avatar.startswith("/")
    if stored.avatar and (own or not own_only):
        return DisplayedAvatar(base_url + stored.avatar if own else stored.avatar, stored.avatar_hash)
    generated = base_url + avatar_path(kind, number)
    if stored.avatar_hash and not own_only:
        return DisplayedAvatar(generated, stored.avatar_hash)
    return DisplayedAvatar(generated, avatar_hash(kind, number))

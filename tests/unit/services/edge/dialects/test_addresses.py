import pytest

from services.edge.dialects.addresses import DisplayedAvatar, displayed_avatar, media_id, stored_address
from services.edge.dialects.base import DecodeError
from services.edge.identicons import avatar_hash
from shared.contract.errors import ErrorCode
from shared.settings.limits import LimitsSettings

BASE = "http://chat.example:8080"
MEDIA = "/media/00112233445566778899aabbccddeeff"
GENERATED = f"{BASE}/avatar/account/12.png"


@pytest.mark.parametrize("path", ["/avatar/account/12.png", "/avatar/chat/9223372036854775807.png", MEDIA])
@pytest.mark.parametrize("origin", [BASE, "http://127.0.0.1:8081", "https://chat.example/below/this"])
def test_the_path_of_an_own_address_is_stored(path: str, origin: str) -> None:
    assert stored_address(origin + path, LimitsSettings()) == path


@pytest.mark.parametrize("address", [
    "", "https://pictures.test/a.png", "HTTP://pictures.test", "http://pictures.test/avatar/account/12.png?x=1",
    "http://pictures.test/media/short", "http://pictures.test/avatar/account/0.png", "http://p.test/x:/avatar/chat/1.png",
    "http://pictures.test/图.png", f"http://pictures.test{MEDIA}/..", "http://p.test/avatar/account/12.png/",
])  # fmt: skip
def test_an_address_of_another_server_is_stored_unchanged(address: str) -> None:
    assert stored_address(address, LimitsSettings()) == address


@pytest.mark.parametrize("address", [
    "/avatar/account/12.png", MEDIA, "pictures.test/a.png", "file:///etc/passwd", "data:image/png;base64,AA==", "http://",
    "http:///a.png", "javascript:alert(1)", "http://p.test/a b.png", "http://p.test/a.png\n", "http://p.test\n/a.png",
    "ftp://p.test/a.png", " http://p.test/a.png",
])  # fmt: skip
def test_only_web_addresses_are_accepted(address: str) -> None:
    with pytest.raises(DecodeError):
        stored_address(address, LimitsSettings())


def test_the_size_of_an_address_is_limited_inclusively() -> None:
    limits = LimitsSettings(address_url_bytes=20)
    assert stored_address("http://p.test/" + "x" * 6, limits)
    with pytest.raises(DecodeError) as rejected:
        stored_address("http://p.test/" + "x" * 7, limits)
    assert rejected.value.failure.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("origin", [BASE, "http://127.0.0.1:8081", "HTTPS://chat.example/below/this"])
def test_the_id_is_the_last_part_of_a_media_address(origin: str) -> None:
    assert media_id(origin + MEDIA, LimitsSettings()) == "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("address", [
    "", MEDIA, "http://pictures.test/a.png", f"{BASE}{MEDIA}x", f"{BASE}{MEDIA}/", f"{BASE}{MEDIA}?x=1",
    f"{BASE}/x:{MEDIA}", f"{BASE}/{MEDIA}", f"{BASE}{MEDIA.upper()}", f"{BASE}/avatar/account/12.png",
    f"{BASE}/media/../{MEDIA[7:]}", f"ftp://chat.example{MEDIA}",
    f"{BASE}{MEDIA}\n", "http://" + "x" * 2048 + MEDIA,
])  # fmt: skip
def test_any_other_address_is_no_media_of_this_server(address: str) -> None:
    with pytest.raises(DecodeError) as rejected:
        media_id(address, LimitsSettings())
    assert rejected.value.failure.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("own_only", [False, True])
def test_without_an_avatar_there_is_a_generated_one(own_only: bool) -> None:
    assert displayed_avatar("account", 12, DisplayedAvatar("", ""), BASE, own_only) == DisplayedAvatar(
        GENERATED, avatar_hash("account", 12)
    )


@pytest.mark.parametrize("own_only", [False, True])
def test_an_own_avatar_is_shown_where_the_client_can_reach_it(own_only: bool) -> None:
    assert displayed_avatar("account", 12, DisplayedAvatar(MEDIA, "ab"), BASE, own_only) == DisplayedAvatar(
        BASE + MEDIA, "ab"
    )


def test_an_avatar_of_another_server_is_hidden_with_own_only() -> None:
    stored = DisplayedAvatar("https://pictures.test/a.png", "ab")
    assert displayed_avatar("account", 12, stored, BASE, False) == stored
    assert displayed_avatar("account", 12, stored, BASE, True) == DisplayedAvatar(GENERATED, avatar_hash("account", 12))


def test_a_hash_without_an_avatar_is_replaced_with_own_only() -> None:
    assert displayed_avatar("account", 12, DisplayedAvatar("", "ab"), BASE, False) == DisplayedAvatar(GENERATED, "ab")
    assert displayed_avatar("account", 12, DisplayedAvatar("", "ab"), BASE, True) == DisplayedAvatar(
        GENERATED, avatar_hash("account", 12)
    )

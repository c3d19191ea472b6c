"""Files are sent: several at once, by pasting, by dropping, and over a bad network.

Pictures are shown as a gallery, and without data about their location.
"""

import base64
import re
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Route, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.chat.conftest import Bob

pytestmark = pytest.mark.xdist_group("chat")

_GIVE = """(field, [kind, names, text]) => {
  const data = new DataTransfer();
  for (const name of names) data.items.add(new File([name], name, { type: "text/plain" }));
  if (text) data.setData("text/plain", text);
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  return field.dispatchEvent(event);
}"""
_DROP_FOLDER = """(field) => {
  const data = new DataTransfer();
  data.items.add(new File([""], "photos"));
  DataTransferItem.prototype.webkitGetAsEntry = () => ({ isDirectory: true, name: "photos" });
  field.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""
_PICTURE = """([width, height]) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").fillRect(0, 0, width / 2, height);
  return canvas.toDataURL("image/png").split(",")[1];
}"""
_LARGE = """() => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2000, 1000];
  const context = canvas.getContext("2d");
  for (const [at, colour] of ["red", "blue"].entries()) {
    context.fillStyle = colour;
    context.fillRect(1000 * at, 0, 1000, 1000);
  }
  return canvas.toDataURL("image/jpeg").split(",")[1];
}"""
_ENDS = """(canvas) => [1, canvas.width - 2].map((x) => {
  const [red, green, blue] = canvas.getContext("2d").getImageData(x, canvas.height / 2, 1, 1).data;
  return green > 90 ? "other" : red > 2 * blue ? "red" : blue > 2 * red ? "blue" : "other";
})"""

_HOLD_LIMITS = """{
  const later = setTimeout;
  window.limits = [];
  window.setTimeout = (work, milliseconds, ...more) =>
    (milliseconds === 10000 ? limits.push(() => work(...more)) : later(work, milliseconds, ...more));
  void 0;
}"""
"""A script that holds the limits of the time for a preview until `limits.forEach((end) => end())`."""


def test_12_files_are_pasted_and_dropped_and_a_text_stays_a_text(ann: ChatPage, team: int) -> None:
    ann.go("Team")
    attached = ann.page.locator(".attachments li")
    ann.field.evaluate(_GIVE, ["paste", ["pasted.txt"], ""])
    expect(attached).to_have_text(["pasted.txt 10 B"])
    ann.field.evaluate(_GIVE, ["drop", ["dropped.txt", "second.txt"], ""])
    expect(attached).to_have_count(3)
    isLeft = ann.field.evaluate(_GIVE, ["paste", ["cells.png"], "1\t2"])
    assert isLeft, "a spreadsheet gives its cells as a picture, too: its text is pasted by the browser"
    isLeft = ann.field.evaluate(_GIVE, ["drop", [], "a selected text"])
    assert isLeft, "a text that is dropped is put in by the browser"
    expect(attached).to_have_count(3)
    ann.page.locator(".scroller").evaluate(_DROP_FOLDER)
    ann.page.get_by_text("Folders are not sent. Send what is in photos").wait_for()
    expect(attached).to_have_count(3)
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.field.press("Enter")
    for name in ("pasted.txt", "dropped.txt", "second.txt"):
        expect(ann.page.locator(".message").get_by_text(name)).to_be_visible()


def test_12_an_upload_goes_on_where_a_bad_network_has_stopped_it(ann: ChatPage, bob: Bob, team: int) -> None:
    content = secrets.token_bytes(3_000_000)
    pieces: list[int] = []

    def cut(route: Route) -> None:
        if route.request.method == "PATCH":
            pieces.append(int(route.request.headers["upload-offset"]))
            if len(pieces) == 2:
                return route.abort()
        return route.fallback()

    ann.go("Team").page.route("**/media/uploads/*", cut)
    ann.page.locator("input[type=file]").set_input_files(
        FilePayload(name="large.bin", mimeType="application/octet-stream", buffer=content)
    )
    expect(ann.page.locator(".attachments progress")).to_have_count(0, timeout=60_000)
    assert pieces[0] == 0
    assert pieces[1] == pieces[2] > 0, "the second piece is sent again, and not the first"
    ann.send("whole")
    ann.until_sent("whole")
    (message,) = bob.call("history", chat=team, count=1, dir="older", **{"from": -1})["messages"]
    (media,) = [part["media"] for part in message["segments"] if part["t"] == "file"]
    assert bob.fetch(media["url"]) == content
    ann.complaints.clear()


def test_13_several_pictures_are_one_gallery(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team")
    sizes = [(300, 100), (100, 300), (200, 200), (64, 48)]
    pictures = [base64.b64decode(ann.page.evaluate(_PICTURE, list(size))) for size in sizes]
    ann.page.locator("input[type=file]").set_input_files(
        [FilePayload(name=f"{at}.png", mimeType="image/png", buffer=one) for at, one in enumerate(pictures)]
    )
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.send("our trip")
    ann.until_sent("our trip")
    assert bob.call("history", chat=team, count=9, dir="older", **{"from": -1})["messages"][1:] == []
    gallery = ann.message("our trip").locator(".gallery")
    expect(gallery.locator("img")).to_have_count(4)
    boxes = [picture.bounding_box() for picture in gallery.locator(".picture").all()]
    assert len({(box["width"], box["height"]) for box in boxes if box}) == 1, "one size, whatever theirs is"
    ann.field.press("ArrowUp")
    ann.field.fill("our journey")
    ann.field.press("Enter")
    expect(ann.message("our journey").locator(".gallery img")).to_have_count(4)
    gallery = ann.message("our journey").locator(".gallery")
    assert [picture.get_attribute("alt") for picture in gallery.locator("img").all()] == [
        f"Picture: {at}.png" for at in range(4)
    ]


def test_13_a_large_picture_is_sent_with_its_colours_and_a_smaller_copy(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    """Other clients show the colours until they have the copy, and load the picture itself when it is clicked."""
    attach_the_sea(ann.go("Team"))
    send_the_sea(ann)
    ann.field.press("ArrowUp")
    ann.field.fill("the sea at noon")
    ann.field.press("Enter")
    ann.message("the sea at noon").locator(".edited").wait_for()
    picture = newest_picture(bob, team)
    assert len(bob.fetch(picture["preview"])) < picture["media"]["size"]
    with chat_user(chromium_browser, system.edges[1]) as other:
        held: list[Route] = []
        other.page.route("**/media/*", lambda route: held.append(route))
        address = picture["preview"].rpartition("/")[2]
        other.open().sign_in(str(ann.account())).go("Team")
        link = other.message("the sea at noon").locator(".picture")
        expect(link.locator("canvas")).to_be_visible()
        assert link.locator("canvas").evaluate(_ENDS) == ["red", "blue"]
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(route.request.url.endswith(address) for route in held):
            assert time.monotonic() < deadline, [route.request.url for route in held]
            other.page.wait_for_timeout(50)
        for route in held:
            route.continue_()
        expect(link.locator("canvas")).to_be_hidden()
        assert link.locator("img").evaluate("(one) => [one.naturalWidth, one.naturalHeight]") == [1280, 640]
        assert link.evaluate("(one) => one.href").endswith(picture["media"]["url"].rpartition("/")[2])


@pytest.mark.parametrize("failure", ["not drawn", "not answered", "rejected", "not measured"])
def test_13_a_picture_is_sent_without_its_preview_if_that_fails(
    ann: ChatPage, bob: Bob, team: int, failure: str
) -> None:
    """A preview whose size the server does not know is not used."""
    uploads: list[str] = []

    def fail(route: Route) -> None:
        uploads.append(route.request.method)
        if uploads.count("POST") < 2:
            return route.fallback()
        if failure == "rejected":
            return route.fulfill(status=400)
        if route.request.method == "PATCH":
            response = route.fetch()
            return route.fulfill(response=response, json={**response.json(), "width": None})
        return None if failure == "not answered" else route.fallback()

    ann.go("Team").page.route(re.compile("/media/uploads"), fail)
    ann.page.evaluate(_HOLD_LIMITS)
    if failure == "not drawn":
        ann.page.evaluate("window.createImageBitmap = () => new Promise(() => {}); void 0")
    attach_the_sea(ann)
    is_drawn = failure != "not drawn"
    ann.until(lambda: uploads.count("POST") == 2 if is_drawn else ann.page.evaluate("limits.length") > 0)
    if failure in {"not drawn", "not answered"}:
        ann.page.evaluate("limits.forEach((end) => end())")
    send_the_sea(ann)
    picture = newest_picture(bob, team)
    assert "preview" not in picture
    assert ("hash" in picture, uploads.count("POST")) == ((True, 2) if is_drawn else (False, 1))
    ann.complaints.clear()


def test_13_a_picture_is_shown_itself_if_its_preview_does_not_load(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    attach_the_sea(ann.go("Team"))
    send_the_sea(ann)
    address = newest_picture(bob, team)["preview"].rpartition("/")[2]
    with chat_user(chromium_browser, system.edges[1]) as other:
        other.page.route(f"**/media/{address}", lambda route: route.abort())
        other.open().sign_in(str(ann.account())).go("Team")
        link = other.message("the sea").locator(".picture")
        link.wait_for()
        expect(link.locator("canvas")).to_be_hidden()
        assert link.locator("img").evaluate("(one) => [one.naturalWidth, one.className]") == [2000, ""]


def attach_the_sea(ann: ChatPage) -> None:
    """Attaches a large picture to a message in the open chat."""
    content = base64.b64decode(ann.page.evaluate(_LARGE))
    sea = FilePayload(name="sea.jpg", mimeType="image/jpeg", buffer=content)
    ann.page.locator("input[type=file]").set_input_files(sea)


def send_the_sea(ann: ChatPage) -> None:
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.send("the sea")
    ann.until_sent("the sea")


def newest_picture(bob: Bob, chat: int) -> dict[str, Any]:
    (message,) = bob.call("history", chat=chat, count=1, dir="older", **{"from": -1})["messages"]
    picture: dict[str, Any] = message["segments"][0]
    return picture


def test_28_a_photograph_leaves_without_its_place(ann: ChatPage, bob: Bob, team: int, tmp_path: Path) -> None:
    photograph = tmp_path / "holiday.jpg"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0N 48.8584 E 2.2945"
    content = ann.page.evaluate(
        "() => { const canvas = document.createElement('canvas'); canvas.width = 64; canvas.height = 48;"
        " canvas.getContext('2d').fillRect(0, 0, 20, 20);"
        " return canvas.toDataURL('image/jpeg').split(',')[1]; }"
    )
    picture = base64.b64decode(content)
    photograph.write_bytes(picture[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + picture[2:])
    ann.go("Team")
    ann.page.locator("input[type=file]").set_input_files([photograph])
    ann.page.locator(".attachments li").wait_for()
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.send("our holiday")
    ann.until_sent("our holiday")
    (message,) = bob.call("history", chat=team, count=1, dir="older", **{"from": -1})["messages"]
    (media,) = [part["media"] for part in message["segments"] if part["t"] == "image"]
    stored = bob.fetch(media["url"])
    assert b"48.8584" not in stored
    assert b"Exif\0\0MM" in stored, "how it is turned stays"
    expect(ann.message("our holiday").locator(".picture img")).to_be_visible()
    film = FilePayload(name="film.mp4", mimeType="video/mp4", buffer=b"\0\0\0\x18ftypmp42")
    ann.page.locator("input[type=file]").set_input_files(film)
    expect(ann.page.locator(".attachments li")).to_contain_text("may tell where it was taken")


def test_12_several_files_are_sent_with_a_caption_and_again_after_a_failure(
    ann: ChatPage, bob: Bob, team: int, tmp_path: Path
) -> None:
    names = [f"{secrets.token_hex(2)}.txt" for _ in range(3)]
    for name in names:
        (tmp_path / name).write_text(name)
    ann.go("Team")
    ann.page.route("**/media/uploads?*", lambda route: route.fulfill(status=400))
    ann.page.locator("input[type=file]").set_input_files([tmp_path / name for name in names])
    expect(ann.page.locator(".attachments .failed")).to_have_count(3)
    ann.page.unroute("**/media/uploads?*")
    for left in (2, 1, 0):
        ann.page.locator(".attachments .failed").first.get_by_role("button", name="Try again").click()
        expect(ann.page.locator(".attachments .failed")).to_have_count(left)
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.send("all three")
    ann.until_sent("all three")
    for name in names:
        expect(ann.message("all three").get_by_text(name)).to_be_visible()
    assert ann.page.locator(".attachments").count() == 0
    ann.complaints.clear()

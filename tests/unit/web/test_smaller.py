"""Tests in a browser the colours and the smaller copy of a picture."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.unit.web.bundled_page import needs_browser, page_with

_PICTURE = """
window.pictureOf = async (type, width = 2000) => {
  const canvas = new OffscreenCanvas(width, 1000);
  const context = canvas.getContext("2d");
  for (let x = 0; x < width; x += 10) {
    context.fillStyle = `hsl(${x} 80% 50%)`;
    context.fillRect(x, 0, 10, 1000);
  }
  return canvas.convertToBlob({ type, quality: 1 });
};
window.madeOf = async (picture) => {
  const { hash, copy } = await Smaller.smallerOf(picture);
  return [Boolean(hash), Boolean(copy)];
};
"""
"""A script for a picture of many colours, and for the parts that are sent beside a picture: its colours, its copy."""

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with page_with("files/smaller.ts", "Smaller", _PICTURE) as opened:
        yield opened


@pytest.mark.parametrize(
    ("picture", "made"),
    [
        ("await pictureOf('image/jpeg')", [True, True]),
        ("await pictureOf('image/png', 900)", [True, False]),
        ("new Blob(['no picture'])", [False, False]),
    ],
)
def test_a_large_picture_has_a_copy(page: Page, picture: str, made: list[bool]) -> None:
    assert page.evaluate(f"async () => madeOf({picture})") == made


@pytest.mark.parametrize(("size", "is_sent"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_a_copy_has_at_most_the_size_that_the_server_takes(page: Page, size: int, is_sent: bool) -> None:
    script = """async (size) => {
      const picture = new Blob([await pictureOf("image/jpeg"), new Uint8Array(2 ** 21)], { type: "image/jpeg" });
      const convert = OffscreenCanvas.prototype.convertToBlob;
      OffscreenCanvas.prototype.convertToBlob = async () => new Blob([new Uint8Array(size)]);
      try {
        return await madeOf(picture);
      } finally {
        OffscreenCanvas.prototype.convertToBlob = convert;
      }
    }"""
    assert page.evaluate(script, size) == [True, is_sent]


def test_a_moving_png_has_no_copy(page: Page) -> None:
    """A chunk `acTL` after the header makes it move."""
    script = """async () => {
      const whole = await pictureOf("image/png");
      const moves = new Uint8Array([0, 0, 0, 8, 97, 99, 84, 76, 0, 0, 0, 1, 0, 0, 0, 0, 0xb9, 0x3d, 0xd9, 0xe7]);
      return madeOf(new Blob([whole.slice(0, 33), moves, whole.slice(33), new Uint8Array(1e6)], { type: "image/png" }));
    }"""
    assert page.evaluate(script) == [True, False]
    assert page.evaluate(script.replace("97, 99, 84, 76", "116, 69, 88, 116")) == [True, True]


def test_nothing_is_made_of_false_pixels(page: Page) -> None:
    """Tor Browser returns white or random pixels."""
    script = """async () => {
      const picture = await pictureOf("image/jpeg");
      const real = OffscreenCanvasRenderingContext2D.prototype.getImageData;
      OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...place) {
        const found = real.apply(this, place);
        found.data.fill(255);
        return found;
      };
      try {
        return await madeOf(picture);
      } finally {
        OffscreenCanvasRenderingContext2D.prototype.getImageData = real;
      }
    }"""
    assert page.evaluate(script) == [False, False]


def test_one_picture_at_a_time_is_decoded_and_each_is_closed(page: Page) -> None:
    """The copy of the second picture fails."""
    script = """async () => {
      const picture = await pictureOf("image/jpeg");
      const [decode, close, convert] =
        [createImageBitmap, ImageBitmap.prototype.close, OffscreenCanvas.prototype.convertToBlob];
      let [open, most, copies] = [0, 0, 0];
      window.createImageBitmap = async (source) => {
        most = Math.max(most, ++open);
        return decode(source);
      };
      ImageBitmap.prototype.close = function () { open -= 1; close.call(this); };
      OffscreenCanvas.prototype.convertToBlob = function (options) {
        if (++copies === 2) throw new DOMException("no memory");
        return convert.call(this, options);
      };
      try {
        return [await Promise.all([picture, picture, picture].map(madeOf)), most, open];
      } finally {
        window.createImageBitmap = decode;
        ImageBitmap.prototype.close = close;
        OffscreenCanvas.prototype.convertToBlob = convert;
      }
    }"""
    assert page.evaluate(script) == [[[True, True], [False, False], [True, True]], 1, 0]

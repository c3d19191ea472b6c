"""Makes an animation from pictures: `animation.py DIRECTORY FILE`. The name of a picture is NUMBER-MILLISECONDS.png.

docs/screens.py starts it with the interpreter of .venv-docs, which has Pillow.
"""

import sys
from pathlib import Path

from PIL import Image


def animate(pictures: list[Path], file: Path) -> None:
    """Writes a lossless WebP animation, which stores only the changed part of each picture."""
    first, *others = [Image.open(picture).convert("RGB") for picture in pictures]
    times = [int(picture.stem.split("-")[1]) for picture in pictures]
    first.save(file, save_all=True, append_images=others, duration=times, loop=0, lossless=True, method=4)


if __name__ == "__main__":
    animate(sorted(Path(sys.argv[1]).glob("*.png")), Path(sys.argv[2]))

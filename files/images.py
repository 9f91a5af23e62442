"""Image files: finding them, listing them, decoding any of them to RGB pixels."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, features

from files.io import InputError

HAS_AVIF = bool(features.check("avif"))  # Pillow 11.3 and later, where it was built with it
HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None  # a plugin
EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
    + ((".avif",) if HAS_AVIF else ())
    + ((".heic", ".heif") if HAS_HEIF else ())
)
# Nothing else is tried, whatever the file is called: some of Pillow's decoders start other programs.
FORMATS = (
    ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
    + (("AVIF",) if HAS_AVIF else ())
    + (("HEIF",) if HAS_HEIF else ())
)

# Datasets whose images come in two folders that lie side by side.
SIBLINGS = (("VG_100K", "VG_100K_2"), ("sg_train_images", "sg_test_images"))


def load_image(path: str | Path, longest: int | None = None) -> Image.Image:
    """Decode an image file to a PIL image of mode RGB, as a viewer would show it.

    EXIF rotation is honoured; alpha is laid on white; 16-bit and floating-point values are
    scaled, not clipped; of several frames the first is taken.
    longest: shrink the image to at most so many pixels on its longer side; a JPEG is then never decoded much larger
    than that. Raises InputError when the file is missing, is damaged or cut off, is not an image, or is as large as a
    decompression bomb (Pillow's limit, 179 million pixels).
    """
    with _open_image(path) as image:
        if longest is None or max(image.size) <= longest:
            return _to_rgb(_upright(image))
        shrink = longest / max(image.size)
        size = tuple(max(1, round(side * shrink)) for side in image.size)
        if image.format == "JPEG":
            image.draft(image.mode, size)  # decodes at 1/2, 1/4 or 1/8, never under `size`
        image.load()
        if image.mode in ("RGB", "L") and not image.has_transparency_data:
            small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        else:
            small = _to_rgb(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        small.info.update({key: value for key, value in image.info.items() if key != "transparency"})
        with contextlib.suppress(Exception):  # unreadable EXIF turns nothing, see _upright
            if image.format != "TIFF":
                small = _turned(small, image.getexif().get(ExifTags.Base.Orientation, 1))
            else:
                small = ImageOps.exif_transpose(small)
        return _to_rgb(small)


class Header(NamedTuple):
    """What an image file says about itself: the size of what `load_image` gives, and its EXIF orientation."""

    width: int
    height: int
    orientation: int = 1  # 1: stored as it is shown; 5 to 8: turned by a quarter; else turned by a half or mirrored


def image_header(path: str | Path) -> Header:
    """The size of what `load_image` would give, from the file's header.

    Raises InputError as `load_image` where the header already tells.
    """
    with _open_image(path) as image:
        orientation = 1
        with contextlib.suppress(Exception):  # unreadable EXIF turns nothing, see _upright
            exif = _png_exif(path) if image.format == "PNG" else image.getexif()
            orientation = int(exif.get(ExifTags.Base.Orientation, 1))
            orientation = orientation if orientation in range(1, 9) else 1
        if image.format == "TIFF":  # newer Pillows give the size as turned already, older ones do not
            return Header(*_upright(image).size, orientation)
        size = image.size[::-1] if orientation >= 5 else image.size
        return Header(*size, orientation)


def _png_exif(path: str | Path) -> Image.Exif:
    """A PNG's EXIF, by its chunks: it may come behind the pixels, and Pillow would decode them all to get there."""
    exif = Image.Exif()
    with open(path, "rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind == b"eXIf" and length < 1 << 20:
                exif.load(b"Exif\0\0" + file.read(length))
                break
            file.seek(length + 4, os.SEEK_CUR)  # and the checksum
    return exif


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels of what `load_image` would give, from the file's header; errors as `image_header`."""
    return image_header(path)[:2]


# EXIF orientation -> what PIL does to show the image as it is meant
_TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)  # fmt: skip


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


@contextlib.contextmanager
def _open_image(path: str | Path) -> Iterator[Image.Image]:
    """The image with its header read; whatever goes wrong with it in the block becomes an InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; its errors are errors
            _register_plugins()
            if not os.path.isfile(path) and os.path.exists(path) and not os.path.isdir(path):
                raise InputError(f"{path}: is not a regular file; a pipe would be waited for")
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such image file; check the name and the images folder") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not an image file") from None
    except PermissionError:
        raise InputError(f"{path}: cannot be read (permission denied)") from None
    except Image.UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise InputError(f"{path}: is not an image of a known format ({known}); convert or remove it") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from None
    except MemoryError:
        raise InputError(f"{path}: does not fit into memory when decoded; make it smaller") from None
    except Exception as error:  # a damaged file can make a decoder raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be decoded ({reason}); the file is damaged or cut off, replace it") from None


@functools.cache
def _register_plugins() -> None:
    if HAS_HEIF:
        import pillow_heif

        pillow_heif.register_heif_opener()


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says. The pixels are used even if the EXIF data is unreadable."""
    image.load()
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # more than 8 bits a pixel, one channel: convert() would clip it
        return _scale_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB") if image.mode != "RGB" else image


def _on_white(image: Image.Image) -> Image.Image:
    """Strip by strip: of an image of 179 million pixels each copy as a whole takes 700 MB."""
    result = Image.new("RGB", image.size, "white")
    rows = max(1, 2**22 // image.width)
    for top in range(0, image.height, rows):
        place = (0, top, image.width, min(top + rows, image.height))
        strip = image.crop(place).convert("RGBA")
        result.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), place)
    return result


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 or 32 bits or floating point -> 8 bits: full scale stays white.

    Full scale is 65535 for integers (a 16-bit file), 1 or 255 for floating point, or
    the image's greatest value where that is larger.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0, neginf=0)
    greatest = float(values.max(initial=0))
    scales = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    full = next((scale for scale in scales if greatest <= scale), greatest)
    return Image.fromarray((values.clip(0) * (255 / full)).round().astype(np.uint8))


def is_image_name(path: Path) -> bool:
    """Whether a file is called like an image that can be read, and is not hidden."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def find_image(images_dir: str | Path, image_name: str) -> Path:
    """Where the image called `image_name` in the data lies.

    It is looked for in `images_dir`, in the known folders that a dataset's images are divided
    into (VG_100K and VG_100K_2, sg_train_images and sg_test_images) inside it, and beside it when
    it is itself one of those. When it is nowhere, the path in `images_dir` is returned, and
    `load_image` gives the error. Raises InputError for a name that would leave the folder.
    """
    images_dir = Path(images_dir)
    name = PureWindowsPath(image_name)  # takes both separators, and drives: safe on every system
    if not name.parts or name.anchor or ".." in name.parts or "\0" in image_name:
        raise InputError(f"{image_name!r} is not an image name: not a file inside {images_dir}; correct the data")
    candidates = [folder / image_name for folder in image_folders(images_dir)]
    found = next((path for path in candidates if os.path.isfile(path)), None)
    if found is None and not image_name.isascii():  # letters and accents in one or in two, as a Mac may write them
        forms = {unicodedata.normalize(form, image_name) for form in ("NFC", "NFD")}
        others = (path.with_name(Path(form).name) for path in candidates for form in sorted(forms))
        found = next((path for path in others if os.path.isfile(path)), None)
    return found or candidates[0]


def image_folders(images_dir: str | Path) -> list[Path]:
    """The folders that may hold the images of `images_dir`, itself first, whether they are there or not (SIBLINGS)."""
    images_dir = Path(images_dir)
    folders = [images_dir]
    for family in SIBLINGS:
        around = images_dir.parent if images_dir.name in family else images_dir
        folders += [around / folder for folder in family]
    return folders

"""Every kind of image file decodes to the RGB pixels a viewer shows; every bad one gives one clear line."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from files.images import HAS_AVIF, HAS_HEIF, find_image, image_header, image_size, is_image_name, load_image
from files.io import InputError

RED, GREEN, WHITE = (255, 0, 0), (0, 128, 0), (255, 255, 255)


def quarters() -> Image.Image:
    """A 40 x 20 picture: red on the left, green on the right."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (20, 0, 40, 20))
    return image


def close_to(pixel: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 12) -> bool:
    return np.abs(np.subtract(pixel, expected)).max() <= tolerance


@pytest.mark.parametrize("name", ["a.jpg", "a.mpo", "a.png", "a.webp", "a.gif", "a.bmp", "a.tif", "a.ppm"])
def test_colours_survive_every_format(tmp_path: Path, name: str) -> None:
    quarters().save(tmp_path / name)
    image = load_image(tmp_path / name)
    assert image.mode == "RGB"
    assert image.size == (40, 20)
    assert close_to(image.getpixel((5, 10)), RED)
    assert close_to(image.getpixel((35, 10)), GREEN)


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg").getpixel((0, 0)) == RED


@pytest.mark.parametrize(
    ("orientation", "size", "where_red_is"),
    [
        (1, (40, 20), (5, 10)),
        (2, (40, 20), (35, 10)),
        (3, (40, 20), (35, 10)),
        (6, (20, 40), (10, 5)),
        (8, (20, 40), (10, 35)),
    ],
)
def test_exif_rotation(tmp_path: Path, orientation: int, size: tuple[int, int], where_red_is: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters().save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = load_image(tmp_path / "a.jpg")
    assert image.size == size
    assert close_to(image.getpixel(where_red_is), RED, 20)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_in_the_header_is_that_of_the_decoded_image(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / name, exif=exif)
    assert image_size(tmp_path / name) == load_image(tmp_path / name).size
    assert image_size(tmp_path / name) == ((20, 30) if orientation in (6, 8) else (30, 20))


def test_unreadable_exif_leaves_the_pixels(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff garbage")
    assert close_to(load_image(tmp_path / "a.jpg").getpixel((5, 10)), RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    image.convert(mode).save(tmp_path / "a.png")
    pixels = [load_image(tmp_path / "a.png").getpixel((x, 0)) for x in range(4)]
    assert pixels[0] == WHITE
    if mode != "P":
        assert pixels[1] == (0, 0, 0)
        assert close_to(pixels[2], (127, 127, 127), 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white_in_a_small_version_too(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    path = tmp_path / "a.png"
    image.convert(mode).save(path)
    assert load_image(path, longest=10).size == (10, 5)
    assert load_image(path, longest=10).getpixel((4, 2)) == load_image(path).getpixel((4, 2)) == WHITE


@pytest.mark.slow
def test_transparency_of_many_strips_is_that_of_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 4000, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=1)
    alpha = pixels[..., 3:].astype(float) / 255
    expected = pixels[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(load_image(tmp_path / "a.png")) - expected).max() <= 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    for read in (load_image, image_size):
        with pytest.raises(InputError, match=r"a\.jpg: is not a regular file"):
            read(tmp_path / "a.jpg")


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 10, 257 * 128, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert np.asarray(load_image(tmp_path / name))[0, :, 0].tolist() == [0, 10, 128, 255]
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "b.tif")
    assert np.asarray(load_image(tmp_path / "b.tif"))[0, :, 0].tolist() == [0, 10, 128, 255]


@pytest.mark.parametrize("full", [1.0, 255.0, 4000.0])
def test_floating_point_is_scaled(tmp_path: Path, full: float) -> None:
    values = np.array([[0, 0.2 * full, full, np.nan, -full]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.asarray(load_image(tmp_path / "a.tif"))[0, :, 0].tolist() == [0, 51, 255, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode in ("CMYK", "YCbCr") else "a.png"
    Image.new("RGB", (8, 8), WHITE).convert(mode).save(tmp_path / name)
    image = load_image(tmp_path / name)
    assert image.mode == "RGB"
    assert close_to(image.getpixel((4, 4)), WHITE, 3)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert close_to(load_image(tmp_path / name).getpixel((4, 4)), RED)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decompression_bomb() -> bytes:
    """A PNG file of 10 000 million pixels in a hundred bytes."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")


def bad_files(folder: Path) -> dict[str, str]:
    """Bad files in `folder` -> a part of the line that each must give."""
    quarters().resize((400, 200)).save(folder / "whole.jpg")
    quarters().resize((400, 200)).save(folder / "whole.png")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:-200])
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:100])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("<html>404 not found</html>")
    (folder / "postscript.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (folder / "bomb.png").write_bytes(decompression_bomb())
    (folder / "folder.jpg").mkdir()
    return {
        "cut.jpg": "damaged or cut off",
        "cut.png": "damaged or cut off",
        "empty.jpg": "is not an image",
        "text.jpg": "is not an image",
        "postscript.jpg": "is not an image",
        "bomb.png": "pixels; make it smaller",
        "folder.jpg": "is a folder",
        "missing.jpg": "no such image file",
        "x" * 300 + ".jpg": "too long",
    }


def test_bad_files_give_one_line_that_names_them(tmp_path: Path) -> None:
    for name, part in bad_files(tmp_path).items():
        with pytest.raises(InputError) as error:
            load_image(tmp_path / name)
        line = str(error.value)
        assert str(tmp_path / name) in line
        assert part in line
        assert "\n" not in line


def test_find_image_in_the_two_folders_of_visual_genome(tmp_path: Path) -> None:
    for name in ("VG_100K/1.jpg", "VG_100K_2/2.jpg", "photos/a/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for images_dir in (tmp_path, tmp_path / "VG_100K", tmp_path / "VG_100K_2"):
        assert find_image(images_dir, "1.jpg") == tmp_path / "VG_100K" / "1.jpg"
        assert find_image(images_dir, "2.jpg") == tmp_path / "VG_100K_2" / "2.jpg"
        assert find_image(images_dir, "9.jpg") == images_dir / "9.jpg"
    assert find_image(tmp_path / "photos", "a/3.jpg").is_file()
    assert not find_image(tmp_path / "photos", "1.jpg").is_file()  # no sibling of a folder of another name


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x.jpg", "a/../../x.jpg", "..\\x.jpg", "C:\\x.jpg", "a\0.jpg"])
def test_find_image_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not an image name"):
        find_image(tmp_path, name)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_shrunk_image_is_the_image_made_small(tmp_path: Path, ending: str, orientation: int) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    soft = noise.resize((640, 480), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{ending}"
    soft.save(path, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    whole, small = load_image(path), load_image(path, longest=100)
    assert image_header(path)[:2] == image_size(path) == whole.size
    assert image_header(path).orientation == orientation
    assert max(small.size) == 100
    again = whole.resize(small.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(again, dtype=float) - np.asarray(small, dtype=float)).mean() < 3
    assert load_image(path, longest=5000).size == whole.size


def test_the_orientation_behind_a_pngs_pixels_is_found_without_decoding_them(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    length = int.from_bytes(data[at : at + 4], "big") + 12
    chunk, rest = data[at : at + length], data[:at] + data[at + length :]
    end = rest.index(b"IEND") - 4
    path.write_bytes(rest[:end] + chunk + rest[end:])
    assert image_header(path) == (30, 40, 6)
    assert load_image(path).size == (30, 40)


@pytest.mark.skipif(not HAS_AVIF, reason="this Pillow was built without AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.avif")
    assert load_image(tmp_path / "a.avif").size == (40, 30)
    assert is_image_name(tmp_path / "a.avif")


@pytest.mark.skipif(not HAS_HEIF, reason="pillow-heif, a plugin, is not installed: pip install pillow-heif")
def test_heic_is_read_where_its_plugin_is_installed(tmp_path: Path) -> None:
    """A phone's photo: its decoder turns it, whatever the EXIF data say, as every viewer of HEIC does."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters().resize((400, 200)).save(tmp_path / "IMG_1.HEIC", "HEIF", quality=95, exif=exif)
    photo = load_image(tmp_path / "IMG_1.HEIC")
    assert photo.size == image_size(tmp_path / "IMG_1.HEIC")
    assert photo.size == (400, 200)
    assert close_to(photo.getpixel((10, 100)), RED)
    assert close_to(photo.getpixel((390, 100)), GREEN)
    assert load_image(tmp_path / "IMG_1.HEIC", 100).size == (100, 50)
    assert is_image_name(tmp_path / "IMG_1.HEIC")
    (tmp_path / "cut.heic").write_bytes((tmp_path / "IMG_1.HEIC").read_bytes()[:300])
    with pytest.raises(InputError, match=r"cut\.heic: "):
        load_image(tmp_path / "cut.heic")

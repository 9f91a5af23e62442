"""Photos of another size than was annotated are told, or refused when most are."""

import pytest
from PIL import Image
from small_world import image

from files.io import InputError
from files.photo_checks import check_photos


def photos(tmp_path, sizes, annotated=None, box=(0, 0, 90, 50)):
    """Photos of these sizes, each with one box; annotated: the sizes that the split tells."""
    found = []
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", size).save(path)
        record = image([("dog", box)], name=path.name)
        if annotated:
            record.width, record.height = annotated[number]
        found.append((record, path))
    return found


def test_photos_that_are_the_annotated_ones_are_not_mentioned(tmp_path):
    assert check_photos(photos(tmp_path, [(100, 60)] * 3), "photos") is None
    assert check_photos(photos(tmp_path, [(100, 60)] * 3, [(100, 60)] * 3), "photos") is None
    assert check_photos([], "photos") is None


def test_a_few_photos_of_another_size_are_told(tmp_path):
    line = check_photos(photos(tmp_path, [(100, 60), (50, 30), (100, 60)], [(100, 60)] * 3), "photos")
    assert line == "photos: 1 of 3 photos have another size than was annotated (1.png: 50 x 30, annotated 100 x 60)"
    line = check_photos(photos(tmp_path, [(100, 60), (50, 30), (100, 60)]), "photos")
    assert line.startswith(
        "photos: 1 of 3 boxes cannot be of their photos: 1 look like boxes of a photo 1.8 times as large"
    )


def test_photos_that_are_most_of_another_size_are_refused(tmp_path):
    with pytest.raises(InputError, match="photos: 2 of 3 photos have another size"):
        check_photos(photos(tmp_path, [(200, 120), (200, 120), (100, 60)], [(100, 60)] * 3), "photos")
    with pytest.raises(InputError, match="3 of 3 boxes cannot be of their photos"):
        check_photos(photos(tmp_path, [(50, 30)] * 3), "photos")


def test_a_box_that_ends_a_pixel_past_the_edge_is_right(tmp_path):
    assert check_photos(photos(tmp_path, [(100, 60)], box=(0, 0, 101, 61)), "photos") is None

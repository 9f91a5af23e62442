"""Which photo a name in a file of boxes means."""

from pathlib import Path

from files.photo_names import match_photos


def matched(keys, photos, numbered=False):
    found, ambiguous = match_photos(keys, [Path(photo) for photo in photos], numbered)
    return {str(photo): key for photo, key in found.items()}, sorted(map(str, ambiguous))


def test_names_with_folders_without_endings_and_with_either_kind_of_accents():
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    keys = ["elsewhere/a.jpg", r"C:\mine\b.jpg", "c", decomposed]
    photos = ["/here/a.jpg", "/here/b.jpg", "/here/c.png", f"/here/{composed}", "/here/d.jpg"]
    assert matched(keys, photos) == (
        {"/here/a.jpg": keys[0], "/here/b.jpg": keys[1], "/here/c.png": "c", f"/here/{composed}": decomposed},
        [],
    )


def test_folders_decide_between_photos_of_one_name():
    photos = ["/x/cats/1.jpg", "/x/dogs/1.jpg"]
    assert matched(["dogs/1.jpg", "cats/1.jpg"], photos)[0] == {photos[0]: "cats/1.jpg", photos[1]: "dogs/1.jpg"}
    assert matched(["old/dogs/1.jpg"], photos) == ({photos[1]: "old/dogs/1.jpg"}, [])


def test_a_name_that_could_be_two_photos_is_nobodys():
    photos = ["/x/cats/1.jpg", "/x/dogs/1.jpg", "/x/2.jpg"]
    assert matched(["1.jpg", "2.jpg"], photos) == ({"/x/2.jpg": "2.jpg"}, photos[:2])


def test_an_equal_name_comes_before_one_without_an_ending():
    assert matched(["1", "1.jpg"], ["/x/1.jpg"])[0] == {"/x/1.jpg": "1.jpg"}


def test_numbers_of_coco():
    photos = ["/x/000000000139.jpg", "/x/COCO_val2014_000000000285.jpg", "/x/holiday.jpg"]
    assert matched(["139", "285"], photos, numbered=True)[0] == {photos[0]: "139", photos[1]: "285"}
    assert matched(["139", "285"], photos, numbered=False)[0] == {}


def test_a_cameras_number_is_not_cocos():
    photos = ["/x/IMG_0139.jpg", "/x/000000000139.jpg"]
    assert matched(["139"], photos, numbered=True) == ({photos[1]: "139"}, [])
    assert matched(["139"], photos[:1], numbered=True) == ({}, [])


def test_of_two_photos_the_one_that_is_named_exactly():
    photos = ["/x/000000000007.jpg", "/x/7.jpg"]
    assert matched(["7"], photos, numbered=True) == ({photos[1]: "7"}, [])

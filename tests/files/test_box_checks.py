"""Boxes that cannot be of their photo are left out, counted, and called what they look like."""

import numpy as np
import pytest

from files.box_checks import BoxCheck

WIDTH, HEIGHT = 320, 240
GOOD = np.array([[115, 60, 155, 190], [170, 135, 255, 190]], dtype=np.float32)


def check(boxes, width=WIDTH, height=HEIGHT, turned=False):
    look = BoxCheck()
    return look, look.look("my.jpg", np.asarray(boxes, dtype=np.float32), width, height, turned).tolist()


def test_good_boxes_stay_and_nothing_is_said():
    look, keep = check(GOOD)
    assert keep == [True, True]
    assert look.complaint() is look.past_complaint() is None
    assert check(np.zeros((0, 4)))[1] == []


def test_a_little_past_the_edge_is_what_detectors_do():
    look, keep = check([[-3, -2, 319, 243], [0, 0, 326, 239]])
    assert keep == [True, True]
    assert look.past == 0


@pytest.mark.parametrize(
    ("boxes", "turned", "words"),
    [
        (GOOD / (320, 240, 320, 240), False, "from 0 to 1"),
        (GOOD / (320, 240, 320, 240) - (0, 0, 1, 1), False, "from 0 to 1"),  # [x, y, width, height] read as pixels
        (GOOD * 10, False, "times as large"),
        (GOOD * 2, False, "of a photo 1.6 times as large"),
        (GOOD - (400, 0, 400, 0), False, "outside the photo"),
    ],
)
def test_what_they_look_like(boxes, turned, words):
    look, keep = check(boxes, turned=turned)
    assert keep == [False, False]
    assert look.mostly_off()
    complaint = look.complaint()
    assert "2 of 2 boxes" in complaint
    assert words in complaint
    assert "'my.jpg' of 320 x 240" in complaint
    assert "\n" not in complaint


def test_boxes_of_the_stored_pixels_of_a_photo_that_exif_turned():
    stored = [[115, 60, 155, 190], [250, 135, 315, 190]]  # of 320 x 240, which a viewer shows as 240 x 320
    look, keep = check(stored, 240, 320, turned=True)
    assert keep == [False, False]
    assert "EXIF" in look.complaint()
    look, keep = check(stored, 240, 320, turned=False)
    assert keep == [True, False]
    assert "outside" in look.complaint()


def test_one_box_far_out_does_not_spoil_the_others():
    look, keep = check([*GOOD, [1000, 60, 1100, 190]])
    assert keep == [True, True, False]
    assert not look.mostly_off()


def test_photos_of_another_size_than_annotated_are_counted():
    look = BoxCheck()
    for number in range(10):
        look.look(f"{number}.jpg", np.array([[-200, 5, 900, 100.0], [0, 0, 9, 9], [3, -150, 90, 150]]), 160, 120)
    assert look.past_complaint() == (
        "20 of 30 boxes leave their photo ('0.jpg' of 160 x 120); are the photos of another size than annotated?"
    )


def test_boxes_whose_file_says_of_which_photo_they_are():
    look = BoxCheck()
    assert look.look("my.jpg", GOOD, WIDTH, HEIGHT, given=(WIDTH, HEIGHT)).all()
    assert look.whole is None
    assert not look.look("my.jpg", GOOD, 2 * WIDTH, 2 * HEIGHT, given=(WIDTH, HEIGHT)).any()
    assert look.whole == "of a photo of 320 x 240, as their file says"
    assert not look.look("my.jpg", GOOD, HEIGHT, WIDTH, turned=True, given=(WIDTH, HEIGHT)).any()
    assert "EXIF" in look.whole


def test_boxes_of_smaller_photos_lie_at_the_upper_left():
    small, centred = BoxCheck(), BoxCheck()
    for i in range(10):
        small.look(f"{i}.jpg", np.array([[0, 0, 300 + i, 200], [100, 90, 200, 239.0]]), 640, 480)
        centred.look(f"{i}.jpg", np.array([[200, 150, 440, 330], [250, 160, 400, 300.0]]), 640, 480)
    assert small.small_complaint().startswith("all 20 boxes of 10 photos lie in the upper left 50% of their photos")
    assert centred.small_complaint() is None
    assert small.complaint() is small.past_complaint() is None

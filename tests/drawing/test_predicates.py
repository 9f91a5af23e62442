"""The picture of each predicate's recall."""

import numpy as np
import pytest
from PIL import Image

from drawing.predicates import draw_predicates


def rows(count):
    return {
        f"predicate {i}": {"annotated": 100 - i, "images": 9, "relationship": {"50": i / 2, "100": 2.0 * (i % 50)}}
        for i in range(count)
    }


@pytest.mark.parametrize("names", [["on", "$x_{$", "<b>", "пьёт"], []], ids=["any text", "none"])
def test_any_word_is_drawn(tmp_path, names):
    both = {"annotated": 3, "images": 2, "graph_constraint": {"20": 30.0}, "no_graph_constraint": {"20": 60.0}}
    draw_predicates(dict.fromkeys(names, both), tmp_path / "predicates.png")
    with Image.open(tmp_path / "predicates.png") as picture:
        assert len(np.unique(np.asarray(picture))) > 2


@pytest.mark.slow
def test_a_long_vocabulary_keeps_its_most_frequent(tmp_path):
    sizes = []
    for count in (60, 600):
        draw_predicates(rows(count), tmp_path / "predicates.png")
        with Image.open(tmp_path / "predicates.png") as picture:
            sizes.append(picture.size)
    assert sizes[0] == sizes[1]

"""A person, a bicycle, a hat and a dog: the episode that is worked out by hand."""

from small_world import Walker, image, make_graph, scene_set, seen, street_graph

from files.options import Rules

PERSON, BICYCLE, HAT, DOG = (10, 10, 40, 100), (40, 60, 60, 60), (15, 5, 20, 15), (300, 300, 20, 20)


def street(relationships=((0, "riding", 1), (0, "wearing", 2))):
    """A person who overlaps a bicycle and a hat, and a dog far away."""
    return image(
        [("person", PERSON, "young", "big"), ("bicycle", BICYCLE, "red"), ("hat", HAT), ("dog", DOG)], relationships
    )


def street_walk(confidences=(0.9, 0.8, 0.7, 0.6), rules=None):
    graph = street_graph()
    likely = [{name: c} for name, c in zip(("person", "bicycle", "hat", "dog"), confidences, strict=True)]
    return Walker(
        graph, scene_set(graph, [street()], [seen(graph, [PERSON, BICYCLE, HAT, DOG], likely)]), rules or Rules()
    )


def crowd_walk(count, rules=None, graph=None):
    """A person among `count` overlapping objects of different categories, falling confidence; none annotated."""
    words = [f"thing {i}" for i in range(count)]
    graph = graph or make_graph(["person", *words], ["red"], ["on"], [], [])
    boxes = [(0, 0, 100, 100)] + [(i, i, 30, 30) for i in range(count)]
    likely = [{"person": 1.0}] + [{word: 0.99 - 0.01 * i} for i, word in enumerate(words)]
    return Walker(graph, scene_set(graph, [image([])], [seen(graph, boxes, likely)]), rules)

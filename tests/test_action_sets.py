"""Adaptive action sets, and choosing within them."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import Walker, image, make_graph, scene_set, street_graph

from action_sets import ActionSetMaker, greedy, random_action
from files.options import Rules

PERSON, BICYCLE, HAT, DOG = (10, 10, 40, 100), (40, 60, 60, 60), (15, 5, 20, 15), (300, 300, 20, 20)


def street_walk(*entities):
    """The walk over a street, after the given next objects."""
    graph = street_graph()
    objects = [("person", PERSON, "young"), ("bicycle", BICYCLE), ("hat", HAT), ("dog", DOG)]
    walk = Walker(graph, scene_set(graph, [image(objects, [(0, "riding", 1)])]))
    for entity in entities:
        walk.step(entity)
    return walk


def offered(walk, **options):
    """The three action sets in words."""
    sets = ActionSetMaker(walk.graph, Rules(**options))(walk.env.states())
    vocabularies = (walk.graph.attributes, walk.graph.predicates, [*walk.graph.entities, "Terminal"])
    return [{words[i] for i in np.flatnonzero(mask[0])} for words, mask in zip(vocabularies, sets, strict=True)]


def test_action_sets_follow_the_graph():
    walk = street_walk()
    assert offered(walk) == [{"young", "wet", "big"}, set(), {"bicycle", "hat", "Terminal"}]  # no object, no predicate
    walk.step("bicycle", attribute="wet")
    # without H_A and without H_S; riding, next to and near have been seen between person and bicycle
    assert offered(walk) == [{"young", "big"}, {"riding", "next to", "near"}, {"hat", "Terminal"}]
    walk.step("hat", attribute="young")
    assert offered(walk) == [{"big"}, {"wearing"}, {"Terminal"}]
    walk.step("Terminal", attribute="big")
    assert offered(walk) == [{"red"}, set(), {"person", "Terminal"}]  # of the bicycle


def test_phrases_never_seen_offer_nothing():
    graph = street_graph()
    walk = Walker(graph, scene_set(graph, [image([("dog", PERSON), ("tree", BICYCLE)])]))
    walk.step("tree")
    assert offered(walk) == [set(), set(), {"Terminal"}]


def test_action_sets_keep_the_most_frequent():
    walk = street_walk("bicycle")
    assert offered(walk, maximum_adaptive_action_space_size=2)[:2] == [{"young", "wet"}, {"riding", "next to"}]
    assert offered(walk, maximum_adaptive_action_space_size=1)[:2] == [{"young"}, {"riding"}]


def test_without_adaptive_sets_every_word_is_offered():
    walk = street_walk()
    everything = set(walk.graph.attributes), set(walk.graph.predicates)
    assert offered(walk, use_adaptive_action_sets=False) == [everything[0], set(), {"bicycle", "hat", "Terminal"}]
    walk.step("bicycle", attribute="wet")
    assert offered(walk, use_adaptive_action_sets=False)[:2] == [everything[0] - {"wet"}, everything[1]]


def test_predicate_action_set_with_each_word():
    """predicate_action_set "word" (not in the paper): p with (s, p, .) and (., p, o) both in the graph."""
    graph = street_graph()
    walk = Walker(graph, scene_set(graph, [image([("hat", PERSON), ("person", BICYCLE)])]))
    walk.step("person")
    assert offered(walk)[1] == {"near"}
    assert offered(walk, predicate_action_set="word")[1] == {"near"}  # next to person occurs, but hat next to does not
    walk.step("Terminal")
    walk.step("hat")
    assert offered(walk, predicate_action_set="word")[1] == {"wearing"}
    assert offered(walk, predicate_action_set="word", maximum_adaptive_action_space_size=1)[1] == {"wearing"}


def test_predicate_action_set_with_each_word_keep_the_maximum_size():
    predicates = [f"p{i}" for i in range(6)]
    edges = [("a", p, "b", 2) for p in predicates]
    graph = make_graph(["a", "b"], [], predicates, [], edges)
    walk = Walker(graph, scene_set(graph, [image([("a", PERSON), ("b", BICYCLE)])]))
    walk.step("b")
    assert offered(walk, predicate_action_set="phrase", maximum_adaptive_action_space_size=3)[1] == {"p0", "p1", "p2"}
    assert offered(walk, predicate_action_set="word", maximum_adaptive_action_space_size=3)[1] == {
        "p0",
        "p1",
        "p2",
    }  # of equals the first


# Choices ------------------------------------------------------------------------------------------


def test_greedy_is_masked():
    q = torch.tensor([[9.0, 1, 2], [9, 1, 2], [-5, -7, -6], [0, 0, 0]])
    allowed = torch.tensor([[True, True, True], [False, True, True], [False, True, True], [False, False, False]])
    assert greedy(q, allowed).tolist() == [0, 2, 2, -1]
    assert greedy(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)).tolist() == [-1, -1]


@given(st.lists(st.booleans(), max_size=6), st.floats(0, 1, exclude_max=True))
def test_random_actions_are_allowed(mask, uniform):
    allowed = np.array([mask], dtype=bool).reshape(1, -1)
    choices = [i for i, ok in enumerate(mask) if ok] or [-1]
    assert random_action(allowed, np.array([uniform])).tolist() == [choices[int(uniform * len(choices))]]


def test_random_actions_are_uniform():
    allowed = np.tile([True, False, True, True], (30_000, 1))
    counts = np.bincount(random_action(allowed, np.random.default_rng(0).random(30_000)), minlength=4)
    assert counts[1] == 0
    assert abs(counts[[0, 2, 3]] - 10_000).max() < 400

"""The semantic action graph: names, batch queries, files."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from files.io import InputError
from semantic_graph import SemanticActionGraph, alias_map, fold_name, read_aliases

ON, BY, RIDING = range(3)
MAN, DOG, BIKE = range(3)


@pytest.fixture
def graph():
    """man -on/by/riding- bike 5/5/9 times, dog -by- man 2; tall man 3, white dog 1, black dog 4."""
    return SemanticActionGraph(
        ["man", "dog", "bike"],
        ["tall", "white", "black"],
        ["on", "by", "riding"],
        np.array([[MAN, 0, 3], [DOG, 2, 4], [DOG, 1, 1]]),
        np.array([[MAN, ON, BIKE, 5], [MAN, BY, BIKE, 5], [DOG, BY, MAN, 2], [MAN, RIDING, BIKE, 9]]),
        entity_aliases=alias_map([["man", "guy", "gentleman"], ["bike", "bicycle"]]),
        predicate_aliases=alias_map([["by", "next to"]]),
    )


def test_every_phrase_has_its_own_number_and_its_words(graph):
    texts, numbers = [], []
    for s, subject in enumerate(graph.entities):
        for a, attribute in enumerate(graph.attributes):
            texts.append(f"{attribute} {subject}")
            numbers += graph.attribute_key(np.array([a]), np.array([s])).tolist()
        for p, predicate in enumerate(graph.predicates):
            for o, other in enumerate(graph.entities):
                texts.append(f"{subject} {predicate} {other}")
                numbers += graph.relationship_key(np.array([s]), np.array([p]), np.array([o])).tolist()
    assert len(set(numbers)) == len(numbers)
    assert [graph.phrase(number) for number in numbers] == texts
    assert graph.attribute_key(np.array([-1]), np.array([2])).tolist() == [-1], "no attribute, no phrase"


# Names ------------------------------------------------------------------------------------------


def test_names_are_folded():
    assert fold_name("  Sitting \t ON ") == "sitting on"
    assert fold_name(" \n") == ""


def test_the_first_group_of_a_name_wins():
    aliases = alias_map([["near", "next to"], ["beside", "next to"], ["next to", "adjacent to"]])
    assert aliases["next to"] == "near"
    assert aliases["beside"] == "beside"
    assert aliases["adjacent to"] == "near"  # "next to", its group's first name, is itself an alias


names = st.text("abc", min_size=0, max_size=2)


@given(st.lists(st.lists(names, max_size=4), max_size=8))
def test_canonical_names_are_canonical(groups):
    aliases = alias_map(groups)
    assert all(aliases[canonical] == canonical for canonical in aliases.values())
    first_group = {}
    for group in groups:
        for name in filter(None, group):
            first_group.setdefault(name, next(name for name in group if name))
    for name, first in first_group.items():
        assert aliases[name] in (first, aliases[first])
    assert "" not in aliases


def test_alias_files_are_read(tmp_path):
    path = tmp_path / "object_alias.txt"
    path.write_bytes("\ufeffMan, guy ,the  man\n\nbike\ncafé,coffee shop\n".encode())
    aliases = read_aliases(path)
    assert aliases == {
        "man": "man",
        "guy": "man",
        "the man": "man",
        "bike": "bike",
        "café": "café",
        "coffee shop": "café",
    }
    path.write_bytes(b"man,g\xffy")
    with pytest.raises(InputError, match="not UTF-8 text at byte 5"):
        read_aliases(path)


def test_indices_of_names(graph):
    assert graph.entity_index("bike") == BIKE
    assert graph.entity_index(" Bicycle") == BIKE
    assert graph.entity_index("Bicycle", exact=True) == -1
    assert graph.entity_index("cat") == -1
    assert graph.predicate_index("Next  to") == BY
    assert graph.predicate_index("next to", exact=True) == -1
    assert graph.attribute_index("TALL") == 0
    assert graph.attribute_index("TALL", exact=True) == -1


# Batch queries ----------------------------------------------------------------------------------


def test_counts_of_a_batch(graph):
    counts = graph.predicate_counts(np.array([MAN, DOG, BIKE, -1, MAN]), np.array([BIKE, MAN, MAN, MAN, -1]))
    assert counts.dtype == np.float32
    assert counts.tolist() == [[5, 5, 9], [0, 2, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert graph.attribute_counts(np.array([DOG, BIKE, MAN, -1])).tolist() == [
        [0, 1, 4],
        [0, 0, 0],
        [3, 0, 0],
        [0, 0, 0],
    ]


def test_action_sets_hold_the_most_frequent_phrases_ties_to_the_lower_index(graph):
    pair = np.array([MAN]), np.array([BIKE])
    assert graph.predicate_action_set(*pair, 1).tolist() == [[False, False, True]]
    assert graph.predicate_action_set(*pair, 2).tolist() == [[True, False, True]]
    assert graph.predicate_action_set(*pair).tolist() == [[True, True, True]]
    assert graph.predicate_action_set(*pair, 0).tolist() == [[False, False, False]]
    assert graph.attribute_action_set(np.array([DOG, BIKE]), 1).tolist() == [
        [False, False, True],
        [False, False, False],
    ]


def test_marginals(graph):
    assert graph.subject_predicate_counts().tolist() == [[5, 5, 9], [0, 2, 0], [0, 0, 0]]
    assert graph.object_predicate_counts().tolist() == [[0, 2, 0], [0, 0, 0], [5, 5, 9]]


def test_an_empty_graph_answers():
    graph = SemanticActionGraph(["man"], [], ["on"], np.zeros((0, 3)), np.zeros((0, 4)))
    assert graph.predicate_action_set(np.array([0]), np.array([0]), 3).tolist() == [[False]]
    assert graph.attribute_counts(np.array([0])).shape == (1, 0)
    assert graph.predicate_counts(np.array([], int), np.array([], int)).shape == (0, 1)


phrases = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), st.integers(1, 9), max_size=40
)


@settings(max_examples=60)
@given(phrases, st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=6), st.integers(0, 6))
def test_queries_equal_loops_over_a_dictionary(phrases, pairs, max_size):
    edges = np.array([[*phrase, count] for phrase, count in phrases.items()]).reshape(-1, 4)
    attribute_counts = {}
    for (category, attribute, _), count in phrases.items():
        attribute_counts[category, attribute] = attribute_counts.get((category, attribute), 0) + count
    attribute_edges = np.array([[*phrase, count] for phrase, count in attribute_counts.items()]).reshape(-1, 3)
    graph = SemanticActionGraph(list("abcd"), list("vwxyz"), list("vwxyz"), attribute_edges, edges)
    subject, object_ = np.array(pairs).T
    expected = [[phrases.get((s, p, o), 0) for p in range(5)] for s, o in pairs]
    assert graph.predicate_counts(subject, object_).tolist() == expected
    best = [sorted((-count, p) for p, count in enumerate(row) if count)[:max_size] for row in expected]
    expected_set = [[p in [p for _, p in chosen] for p in range(5)] for chosen in best]
    assert graph.predicate_action_set(subject, object_, max_size).tolist() == expected_set
    expected = [[attribute_counts.get((s, a), 0) for a in range(5)] for s, _ in pairs]
    assert graph.attribute_counts(subject).tolist() == expected
    marginal = [[sum(c for (s, q, _), c in phrases.items() if (s, q) == (e, p)) for p in range(5)] for e in range(4)]
    assert graph.subject_predicate_counts().tolist() == marginal


# Files ------------------------------------------------------------------------------------------


def test_saved_and_loaded(graph, tmp_path):
    graph.annotation_categories, graph.annotation_predicates = ["dog", "man", "bike"], ["by"]
    graph.save(tmp_path / "graph.pickle")
    loaded = SemanticActionGraph.load(tmp_path / "graph.pickle")
    assert vars(loaded).keys() == vars(graph).keys()
    for name in ("entities", "attributes", "predicates", "entity_aliases", "predicate_aliases"):
        assert getattr(loaded, name) == getattr(graph, name)
    assert loaded.annotation_categories == ["dog", "man", "bike"]
    assert loaded.annotation_predicates == ["by"]
    assert loaded.fingerprint() == graph.fingerprint()
    pair = np.array([MAN]), np.array([BIKE])
    assert loaded.predicate_counts(*pair).tolist() == graph.predicate_counts(*pair).tolist()


def test_the_file_is_a_plain_dict(graph, tmp_path):
    graph.save(tmp_path / "graph.pickle")
    value = pickle.loads((tmp_path / "graph.pickle").read_bytes())
    assert type(value) is dict
    assert value["predicate_phrases"]["count"] == [5, 5, 9, 2]
    assert {type(item) for item in value["predicate_phrases"]["count"]} == {int}


def test_fingerprints_tell_graphs_apart(graph):
    def changed(**change):
        parts = {
            "entities": graph.entities,
            "attributes": graph.attributes,
            "predicates": graph.predicates,
            "attribute_edges": graph.attribute_edges,
            "predicate_edges": graph.predicate_edges,
        }
        return SemanticActionGraph(**(parts | change)).fingerprint()

    shuffled = graph.predicate_edges[::-1]
    assert changed(predicate_edges=shuffled) == graph.fingerprint()
    assert changed(entities=["dog", "man", "bike"]) != graph.fingerprint()
    assert changed(predicate_edges=graph.predicate_edges[1:]) != graph.fingerprint()


def file_of(graph, tmp_path, **change):
    path = tmp_path / "graph.pickle"
    graph.save(path)
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | change))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entities": "man"}, r"Expected `array`, got `str` - at `\$.entities`"),
        ({"entities": ["man", "man", "dog"]}, "entities repeats the name 'man'"),
        ({"format": "semantic action graph 7"}, "this version reads"),
        ({"surplus": 1}, "unknown field"),
        ({"attribute_phrases": {"category": [0], "attribute": [3], "count": [1]}}, "is 3, outside the vocabulary"),
        ({"attribute_phrases": {"category": [0], "attribute": [-1], "count": [1]}}, "outside the vocabulary"),
        ({"attribute_phrases": {"category": [0], "attribute": [0], "count": [0]}}, "a count below 1"),
        ({"attribute_phrases": {"category": [0], "attribute": [0], "count": [2**40]}}, "too large"),
        ({"attribute_phrases": {"category": [0, 1], "attribute": [0], "count": [1]}}, "equally long lists"),
        ({"attribute_phrases": {"category": [0], "count": [1]}}, "equally long lists"),
    ],
)
def test_a_wrong_file_is_refused(graph, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        SemanticActionGraph.load(file_of(graph, tmp_path, **change))


def test_a_missing_file_or_one_with_code_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such file; make it with create_graph\.py"):
        SemanticActionGraph.load(tmp_path / "graph.pickle")
    (tmp_path / "counts.json").write_text('{"man": 3}')
    with pytest.raises(InputError, match=r"is JSON, not a pickle; make it with create_graph\.py, which writes graph"):
        SemanticActionGraph.load(tmp_path / "counts.json")
    (tmp_path / "graph.pickle").write_bytes(pickle.dumps({"entities": np.zeros(3)}))
    with pytest.raises(InputError, match="not a pickle of plain data"):
        SemanticActionGraph.load(tmp_path / "graph.pickle")

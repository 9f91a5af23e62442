"""Numbers that stand for phrases."""

import numpy as np
from small_world import street_graph

from phrase_keys import PhraseKeys


def test_phrase_keys_and_their_words():
    graph = street_graph()
    keys = PhraseKeys(graph)
    texts, numbers = [], []
    for s, subject in enumerate(graph.entities):
        for a, attribute in enumerate(graph.attributes):
            texts.append(f"{attribute} {subject}")
            numbers += keys.attribute(np.array([a]), np.array([s])).tolist()
        for p, predicate in enumerate(graph.predicates):
            for o, other in enumerate(graph.entities):
                texts.append(f"{subject} {predicate} {other}")
                numbers += keys.relationship(np.array([s]), np.array([p]), np.array([o])).tolist()
    assert len(set(numbers)) == len(numbers)
    assert [keys.text(number) for number in numbers] == texts
    assert keys.attribute(np.array([-1]), np.array([2])).tolist() == [-1]

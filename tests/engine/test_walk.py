"""A greedy walk: where it goes, what it says, in which order of confidence; the baselines."""

import numpy as np
import pytest
import torch
from small_world import Walker, image, make_agent, make_graph, say_always, scene_set, seen, street_graph

from engine.baselines import FrequencyPolicy, Occurrences, RandomPolicy, occurrences
from engine.walk import best, own_choices, walk
from files.options import Rules
from vrl_model import Judgement, QValues

PERSON, BICYCLE, HAT, DOG = (10, 10, 40, 100), (40, 60, 60, 60), (15, 5, 20, 15), (300, 300, 20, 20)
GRAPH = street_graph()
WORDS = GRAPH.attributes, GRAPH.predicates, [*GRAPH.entities, "Terminal"]


SEEN = Occurrences(np.array([8] * 4 + [0] * 4), np.zeros((8, 8), dtype=int))
for _subject, _object, _pairs in (
    ("person", "bicycle", 9),
    ("bicycle", "person", 9),
    ("person", "hat", 4),
    ("hat", "person", 4),
):
    SEEN.pairs[GRAPH.entities.index(_subject), GRAPH.entities.index(_object)] = _pairs
SEEN.pairs[3, 4], SEEN.objects[:4] = 14, 8  # 40 pairs; person, bicycle, hat, dog
SEEN.objects[4:] = 0


def street(name="1.jpg"):
    return image([("person", PERSON), ("bicycle", BICYCLE), ("hat", HAT), ("dog", DOG)], name=name)


def opinion(attribute, predicate, entity):
    """A policy that thinks the same of every state: {word: number}; confidences are a tenth of it."""

    def judge(states):
        q = [
            torch.tensor([[float(said.get(word, 0)) for word in words]]).repeat(len(states), 1)
            for words, said in zip(WORDS, (attribute, predicate, entity), strict=True)
        ]
        return Judgement(QValues(*q), q[0] / 10, q[1] / 10)

    return judge


POLICY = opinion(
    {"young": 9, "wet": 8, "big": 7, "red": 6},
    {"riding": 5, "next to": 9, "wearing": 4, "near": 1},
    {"hat": 3, "bicycle": 2, "Terminal": 1},
)


def street_scenes(count=1):
    records = [street(f"{i}.jpg") for i in range(count)]
    likely = [{"person": 1.0}, {"bicycle": 0.5}, {"hat": 0.25, "bag": 0.2}, {"dog": 0.125}]
    return scene_set(GRAPH, records, [seen(GRAPH, [PERSON, BICYCLE, HAT, DOG], likely)] * count)


def said(part, graph=GRAPH):
    """Rows in words: (subject, word, object) or (subject, word), with rounded score and rank."""
    rows = []
    for i in range(len(part.get("scene", []))):
        name = lambda key: graph.entities[part[key][i]]  # noqa: B023, E731
        if "predicate" in part:
            words = name("subject_category"), graph.predicates[part["predicate"][i]], name("object_category")
        else:
            words = name("subject_category"), graph.attributes[part["attribute"][i]]
        rows.append((" ".join(words), round(float(part["score"][i]), 6), int(part["rank"][i])))
    return rows


def test_goes_where_the_next_object_q_is_highest():
    steps = walk(POLICY, street_scenes(), Rules(), [0]).steps
    pairs = list(zip(steps["subject"].tolist(), steps["object"].tolist(), strict=True))
    # person: hat, bicycle. hat, mined first: it knows only Terminal and the person (Q 0). bicycle. dog.
    assert pairs == [(0, -1), (0, 2), (0, 1), (2, -1), (1, -1), (3, -1)]
    assert steps["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert steps["subject_category"].tolist() == [0, 0, 0, 2, 1, 3]
    assert steps["object_category"].tolist() == [-1, 2, 1, -1, -1, -1]


def test_says_the_best_of_each_action_set_with_a_confidence():
    """Confidence: the policy's, times the detector's in both instances (attributes: in the one)."""
    found = walk(POLICY, street_scenes(), Rules(), [0])
    # next to: 0.9 x 1.0 x 0.5; wearing: 0.4 x 1.0 x 0.25
    expected = [("person next to bicycle", 0.45, 0), ("person wearing hat", 0.1, 0)]
    assert said(found.relationships) == expected
    assert found.relationships["step"].tolist() == [2, 1]
    # the person young, then wet, then big; red for hat (0.6 x 0.25) and bicycle (0.6 x 0.5)
    expected = [("person young", 0.9, 0), ("person wet", 0.8, 0), ("person big", 0.7, 0)]
    assert said(found.attributes) == [*expected, ("bicycle red", 0.3, 0), ("hat red", 0.15, 0)]
    assert found.attributes["step"].tolist() == [0, 1, 2, 4, 3]


def test_more_predicates_of_each_pair():
    found = walk(POLICY, street_scenes(), Rules(predicates_per_pair=2, attributes_per_step=0), [0])
    expected = [("person next to bicycle", 0.45, 0), ("person riding bicycle", 0.25, 1), ("person wearing hat", 0.1, 0)]
    assert said(found.relationships) == expected
    assert said(found.attributes) == []
    found = walk(POLICY, street_scenes(), Rules(predicates_per_pair=100), [0])
    assert [row[0] for row in said(found.relationships)] == [
        "person next to bicycle",
        "person riding bicycle",
        "person wearing hat",
        "person near bicycle",
    ]
    assert said(own_choices(found).relationships) == [expected[0], expected[2]]


def test_keeps_the_most_confident_of_each_image():
    found = walk(POLICY, street_scenes(3), Rules(predicates_per_pair=9), [0, 1, 2], maximum_choices=2, most=2)
    for scene in range(3):
        rows = found.relationships["scene"] == scene
        kept = [row[0] for row in said({key: column[rows] for key, column in found.relationships.items()})]
        # the two best of all, and the two best of its own choices
        assert kept == ["person next to bicycle", "person riding bicycle", "person wearing hat"]
    own = own_choices(found).relationships
    assert len(own["scene"]) == 6
    assert (np.diff(found.relationships["scene"]) >= 0).all()


def test_every_own_choice_is_kept_on_demand():
    """Predicate detection asks about annotated pairs: they need not be among the most confident ones."""
    scenes = street_scenes(2)
    found = walk(POLICY, scenes, Rules(predicates_per_pair=9), [0, 1], maximum_choices=1000, most=1)
    pairs = int((found.steps["object"] >= 0).sum())
    assert pairs > 2
    assert len(own_choices(found).relationships["scene"]) == pairs
    assert len(own_choices(best(found, 1)).relationships["scene"]) == 2


def test_an_own_choice_is_the_highest_q_however_high():
    """k = 1 is the agent's own choice: Q has no bounds, so confidences made of it may not run together."""
    scenes = street_scenes()
    agent = make_agent(GRAPH, scenes)
    attribute, predicate = {"young": 40, "wet": 50, "big": 30, "red": 1}, {"riding": 40, "next to": 45, "near": 90}
    say_always(agent.network, attribute, predicate, {"hat": 3, "bicycle": 2})
    found = own_choices(walk(agent, scenes, Rules(), [0]))
    by_step = dict(zip(found.attributes["step"].tolist(), said(found.attributes), strict=True))
    assert [by_step[step][0] for step in range(3)] == ["person wet", "person young", "person big"]
    assert "person near bicycle" in [row[0] for row in said(found.relationships)]


def test_keeping_the_most_confident_as_it_goes_changes_nothing(monkeypatch):
    """Long walks drop what cannot be among the best of an image before they end."""
    scenes = street_scenes(7)

    def rows():
        found = walk(POLICY, scenes, Rules(predicates_per_pair=9), range(7), 3, maximum_choices=2, most=2)
        parts = found.relationships, found.attributes
        return [[part["scene"].tolist(), said(part), part["step"].tolist()] for part in parts]

    expected = rows()
    monkeypatch.setattr("engine.walk.MOST_PENDING", 3)
    assert rows() == expected


@pytest.mark.parametrize("reward_loss", ["squared", "cross_entropy"])
def test_the_agents_confidences_rise_with_q_between_zero_and_one(reward_loss):
    scenes = street_scenes()
    agent = make_agent(GRAPH, scenes, reward_loss=reward_loss)
    say_always(agent.network, {"young": -3, "wet": 0, "big": 2}, {"riding": 1, "near": -1}, {"hat": 3, "bicycle": 2})
    states = Walker(GRAPH, scenes).env.states()
    judgement = agent(states)
    for q, confidence in (
        (judgement.q.attribute, judgement.attribute_confidence),
        (judgement.q.predicate, judgement.predicate_confidence),
    ):
        by_q = confidence.gather(1, q.argsort(dim=1, stable=True))
        assert (by_q.diff(dim=1) >= 0).all()
        assert ((confidence >= 0) & (confidence <= 1)).all()
    found = walk(agent, scenes, Rules(predicates_per_pair=3), [0])
    assert said(found.relationships)[0][0] == "person riding bicycle"


@pytest.mark.parametrize("policy", ["agent", "frequency", "random"])
def test_images_together_are_the_same_as_one_by_one(policy):
    rng = np.random.default_rng(0)
    records = []
    for i in range(9):
        boxes = rng.integers(1, 60, (rng.integers(0, 6), 4)).tolist()
        records.append(image([(GRAPH.entities[rng.integers(4)], box) for box in boxes], name=f"{i}.jpg"))
    scenes = scene_set(GRAPH, records)
    torch.manual_seed(0)
    agent = make_agent(GRAPH, scenes)
    answers = []
    for slots in (1, 4, 64):
        made = {"agent": agent, "frequency": FrequencyPolicy(GRAPH, SEEN), "random": RandomPolicy(GRAPH, 3)}[policy]
        found = walk(made, scenes, Rules(predicates_per_pair=3), range(9), slots)
        order = np.lexsort((found.steps["step"], found.steps["scene"]))
        columns = [found.steps[name][order].tolist() for name in ("scene", "step", "subject", "object")]
        answers.append((columns, said(found.relationships), said(found.attributes)))
    if policy == "random":  # what it draws depends on the order of the images
        assert all(answer[0][0] for answer in answers)
    else:
        assert answers[0] == answers[1] == answers[2]


def test_a_walk_over_some_images():
    found = walk(POLICY, street_scenes(4), Rules(), [3, 1])
    assert set(found.steps["scene"].tolist()) == {1, 3}


def test_nothing_to_walk_over():
    scenes = scene_set(GRAPH, [image([])])
    for images in ([0], []):
        found = walk(POLICY, scenes, Rules(), images)
        assert found == ({}, {}, {})
        assert own_choices(found) == ({}, {}, {})


def test_one_object():
    found = walk(POLICY, scene_set(GRAPH, [image([("person", PERSON)])]), Rules(), [0])
    assert said(found.attributes) == [("person young", 0.9, 0)]
    assert not said(found.relationships)


def test_a_graph_without_attributes():
    graph = make_graph(["person", "bicycle"], [], ["riding"], [], [("person", "riding", "bicycle", 1)])
    scenes = scene_set(graph, [image([("person", PERSON), ("bicycle", BICYCLE)])])
    for policy in (
        FrequencyPolicy(graph, occurrences(scenes.records, graph)),
        RandomPolicy(graph, 0),
        make_agent(graph, scenes),
    ):
        found = walk(policy, scenes, Rules(), [0])
        assert found.attributes == {}
        assert found.steps["step"].tolist()[:2] == [0, 1]


# Baselines ----------------------------------------------------------------------------------------


def test_the_frequency_prior_counts_pairs_without_annotation_too():
    found = walk(FrequencyPolicy(GRAPH, SEEN), street_scenes(), Rules(predicates_per_pair=3), [0])
    # person riding bicycle 4, next to 2, near 1, of 9 pairs; wearing hat 3 of 4; bicycle next to person 6 of 9;
    # hat near person 1 of 4. One average pair is added to each: of all 40, riding 4, next to 8, wearing 3, near 2.
    expected = {
        "bicycle next to person": (6 + 8 / 40) / 10 * 0.5,
        "bicycle riding person": None,
        "person riding bicycle": (4 + 4 / 40) / 10 * 0.5,
        "person next to bicycle": (2 + 8 / 40) / 10 * 0.5,
        "person near bicycle": (1 + 2 / 40) / 10 * 0.5,
        "person wearing hat": (3 + 3 / 40) / 5 * 0.25,
        "hat near person": (1 + 2 / 40) / 5 * 0.25,
    }
    expected = {words: value for words, value in expected.items() if value}
    got = {words: score for words, score, _ in said(found.relationships)}
    assert got == pytest.approx(expected, abs=1e-6)
    assert list(got.values()) == sorted(got.values(), reverse=True)
    # of 8 objects each; of all 32, young 3, wet 2, big 1, red 7
    assert {row[0]: row[1] for row in said(found.attributes)} == pytest.approx(
        {
            "person young": (3 + 3 / 32) / 9,
            "person wet": (2 + 2 / 32) / 9,
            "person big": (1 + 1 / 32) / 9,
            "bicycle red": (5 + 7 / 32) / 9 * 0.5,
            "hat red": (2 + 7 / 32) / 9 * 0.25,
        },
        abs=1e-5,
    )


def test_occurrences_are_ordered_pairs_of_different_objects():
    two = image([("person", PERSON), ("person", DOG), ("hat", HAT), ("unknown", BICYCLE)])
    seen_ = occurrences([two, image([("hat", HAT)])], GRAPH)
    assert seen_.objects.tolist() == [2, 0, 2, 0, 0, 0, 0, 0]
    assert seen_.pairs[0, :3].tolist() == [2, 0, 2]
    assert seen_.pairs[2, :3].tolist() == [2, 0, 0]


def test_of_equal_values_the_first_is_read_as_it_is_chosen():
    """k = 1 and the best of k = 100 are the same choice, also where a prior has ties."""
    policy = opinion({"young": 1, "wet": 1}, dict.fromkeys(GRAPH.predicates, 2), {"bicycle": 3, "hat": 2})
    expected = {"person riding bicycle", "person wearing hat", "bicycle next to person", "hat near person"}
    for k in (1, 2, 100):
        found = own_choices(walk(policy, street_scenes(), Rules(predicates_per_pair=k, attributes_per_step=k), [0]))
        assert {words for words, *_ in said(found.relationships)} == expected
        assert "person young" in {words for words, *_ in said(found.attributes)}


def test_the_frequency_prior_looks_at_the_most_related_neighbour_first():
    steps = walk(FrequencyPolicy(GRAPH, SEEN), street_scenes(), Rules(), [0]).steps
    pairs = list(zip(steps["subject"].tolist(), steps["object"].tolist(), strict=True))
    # bicycle (7 phrases with person) before hat (3); Terminal when nothing else is left
    assert pairs == [(0, -1), (0, 1), (0, 2), (1, -1), (1, 0), (2, -1), (2, 0), (3, -1)]


def test_the_random_policy_stays_in_the_action_sets_and_repeats_by_seed():
    def words(seed):
        found = walk(RandomPolicy(GRAPH, seed), street_scenes(20), Rules(), range(20))
        return said(found.relationships), said(found.attributes)

    allowed = {"person riding bicycle", "person next to bicycle", "person near bicycle", "person wearing hat"}
    relationships, attributes = words(1)
    assert {row[0] for row in relationships} == allowed | {"bicycle next to person", "hat near person"}
    assert {row[0] for row in attributes} == {"person young", "person wet", "person big", "bicycle red", "hat red"}
    assert words(1) == (relationships, attributes)
    assert words(2) != (relationships, attributes)

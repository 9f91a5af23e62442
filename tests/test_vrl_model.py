"""The state's vector, the Q network, and the agent's choices."""

import numpy as np
import pytest
import torch
from small_world import Walker, image, make_agent, make_graph, say_always, scene_set, street_graph
from torch import nn

from environment import SceneGraphEnvironment
from files.options import Rules
from skipthoughts import PhraseStore
from vrl_model import ModelOptions, QNetwork, confidence_of

PERSON, BICYCLE, HAT, DOG = (10, 10, 40, 100), (40, 60, 60, 60), (15, 5, 20, 15), (300, 300, 20, 20)
CPU = torch.device("cpu")


def street(name="1.jpg"):
    return image(
        [("person", PERSON, "young"), ("bicycle", BICYCLE), ("hat", HAT), ("dog", DOG)], [(0, "riding", 1)], name
    )


def walks(*entities, **options):
    """The street, after the given next objects; the walk and its scenes."""
    graph = street_graph()
    scenes = scene_set(graph, [street()])
    walk = Walker(graph, scenes, **options)
    for entity in entities:
        walk.step(entity)
    return walk, scenes


# The network --------------------------------------------------------------------------------------


def test_the_state_of_the_paper():
    """VGG-16 features of image, subject and object, four skip-thought vectors: 3 x 4096 + 9600 numbers."""
    assert ModelOptions(feature_dimension=4096, phrase_dimension=2400).state_dimension == 21_888


def test_the_layers_of_the_paper():
    graph = street_graph()
    network = QNetwork(ModelOptions(phrase_dimension=5), graph)
    linear = [(m.in_features, m.out_features) for m in network.members[0].fusion if isinstance(m, nn.Linear)]
    assert linear == [(20, 4096), (4096, 2048)]
    heads = network.members[0].heads
    assert (heads.in_features, network.widths, heads.out_features) == (2048, (4, 4, 9), 17)


@pytest.mark.parametrize("reward_loss", ["squared", "cross_entropy"])
def test_q_values_are_unbounded(reward_loss):
    """Port fault: a softmax stood on the single Q output, which made it 1 whatever the state."""
    walk, scenes = walks()
    agent = make_agent(walk.graph, scenes, reward_loss=reward_loss)
    say_always(agent.network, {"young": 40, "wet": -40}, {"riding": 30}, {"Terminal": -70})
    q = agent(walk.env.states()).q
    if reward_loss == "squared":
        assert q.attribute.tolist() == [[40, 0, 0, -40]]
        assert q.predicate.tolist() == [[30, 0, 0, 0]]
    else:  # expected rewards: nothing but phrases follows from what is said; what follows a next object has no bounds
        assert q.attribute.tolist() == [[1, 0, 0, -1]]
        assert q.predicate.tolist() == [[1, 0, 0, 0]]
    assert q.entity.tolist() == [[0] * 8 + [-70]]


def test_cross_entropy_heads_of_what_is_said_are_log_odds_of_the_reward():
    walk, scenes = walks()
    agent = make_agent(walk.graph, scenes, reward_loss="cross_entropy")
    say_always(agent.network, {"young": np.log(3)}, {"riding": np.log(2)}, {"hat": 0.7})
    q = agent(walk.env.states()).q
    assert q.attribute[0, 0].item() == pytest.approx(0.75 * 1 + 0.25 * -1)
    assert q.predicate[0, 0].item() == pytest.approx(2 / 3 * 1 + 1 / 3 * -1)
    assert q.entity[0, 2].item() == pytest.approx(0.7)


def test_one_forward_pass_gives_all_q_values():
    """Port fault: every candidate action went through the network by itself, with a one-hot."""
    walk, scenes = walks()
    agent = make_agent(walk.graph, scenes)
    batches = []
    agent.network.members[0].fusion.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    states = np.repeat(walk.env.states(), 50)
    q = agent(states).q
    assert batches == [50]
    assert [tuple(part.shape) for part in q] == [(50, 4), (50, 4), (50, 9)]


def test_different_states_have_different_q_values():
    walk, scenes = walks()
    agent = make_agent(walk.graph, scenes)
    before = agent(walk.env.states()).q
    walk.step("bicycle")
    after = agent(walk.env.states()).q
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_categories_enter_as_learned_vectors():
    walk, scenes = walks("bicycle")
    agent = make_agent(walk.graph, scenes, use_box_geometry=False, learned_category_vectors=3)
    assert agent.network.options.state_dimension == 6
    assert agent.network.categories.weight.shape == (9, 3)  # and one for no object
    with_object = agent(walk.env.states()).q.entity
    with torch.no_grad():
        agent.network.categories.weight[1] += 1  # bicycle
    assert (agent(walk.env.states()).q.entity != with_object).any()


def test_preferred_replay_is_taken_out_of_chances():
    """2 of 10 pairs are annotated, 15 and 5 in a hundred with two predicates; drawn six times as often they are 12 of
    20, and the two predicates 45 and 15 in a hundred."""
    options = ModelOptions(
        learned_category_vectors=2, fusion_sizes=(4,), reward_loss="cross_entropy", replay_preference=6
    )
    network = QNetwork(options, street_graph())
    drawn = torch.full((1, 4 + 4 + 9), 0.25)
    drawn[0, 4:8] = torch.tensor([0.45, 0.15, 0, 0])
    chances = network.by_kind(network.chances(torch.logit(drawn)))
    torch.testing.assert_close(chances.predicate, torch.tensor([[0.15, 0.05, 0, 0]]))
    assert (chances.attribute == 0.25).all()
    assert (chances.entity == 0.25).all()
    q = network.q_values(torch.logit(drawn), None)
    torch.testing.assert_close(q.predicate, 2 * chances.predicate - 1)


def test_given_entity_vectors_enter_unchanged():
    walk, scenes = walks("bicycle")
    agent = make_agent(walk.graph, scenes, use_box_geometry=False, entity_vector_dimension=2)
    agent.network.entity_vectors.vectors[:-1] = torch.arange(16.0).view(8, 2)
    inputs = []
    agent.network.members[0].fusion.register_forward_hook(lambda module, args, output: inputs.append(args[0].tolist()))
    agent(walk.env.states())
    walk.step("Terminal")
    agent(walk.env.states())
    assert inputs == [[[0, 1, 2, 3]], [[2, 3, 0, 0]]]  # person, bicycle; then bicycle and no object
    assert not any("entity_vectors" in name for name, _ in agent.network.named_parameters())


def test_several_members_speak_by_their_mean():
    walk, scenes = walks("bicycle")
    agent = make_agent(walk.graph, scenes, reward_loss="cross_entropy", num_members=3)
    inputs = agent.encoder(walk.env.states(), agent.device)
    every, _ = agent.network(*inputs, every_member=True)
    assert every.shape == (3, 1, 4 + 4 + 9)
    assert (every[0] != every[1]).any()
    mean, _ = agent.network(*inputs)
    assert torch.allclose(every.mean(dim=0), mean)


@pytest.mark.parametrize("reward_loss", ["squared", "cross_entropy"])
def test_a_graph_without_attributes(reward_loss, recwarn):
    """As VRD's."""
    graph = make_graph(["person", "bicycle"], [], ["riding"], [], [("person", "riding", "bicycle", 1)])
    scenes = scene_set(graph, [image([("person", PERSON), ("bicycle", BICYCLE)])])
    walk = Walker(graph, scenes)
    agent = make_agent(graph, scenes, reward_loss=reward_loss)
    assert agent(walk.env.states()).q.attribute.shape == (1, 0)
    for epsilon in (0.0, 1.0):
        attribute, predicate, entity = agent.act(walk.env.states(), epsilon, np.zeros((1, 6)))
        assert (attribute.tolist(), predicate.tolist()) == ([-1], [-1])
        assert entity.tolist()[0] in (1, 2)
    walk.step("bicycle")
    assert [part.tolist() for part in agent.act(walk.env.states(), 0, np.zeros((1, 6)))] == [[-1], [0], [2]]
    assert not [str(warning.message) for warning in recwarn]


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


@pytest.mark.parametrize("device", DEVICES)
def test_acts_on_every_device(device):
    """Port fault: it required CUDA."""
    walk, scenes = walks("bicycle")
    agent = make_agent(walk.graph, scenes, device=device, learned_category_vectors=4)
    for epsilon in (0.0, 0.5, 1.0):
        attribute, predicate, entity = agent.act(walk.env.states(), epsilon, np.full((1, 6), 0.5))
        assert (attribute[0], predicate[0], entity[0]) >= (0, 0, 0)


# The state's vector -------------------------------------------------------------------------------


def test_features_of_image_subject_and_object():
    graph = street_graph()
    scenes = scene_set(graph, [street("a"), street("b")])
    features = {
        name: (np.array([base, base + 1], np.float32), base + 10 * np.arange(1, 9, dtype=np.float32).reshape(4, 2))
        for name, base in (("a", 1000), ("b", 2000))
    }
    env = SceneGraphEnvironment(scenes, 3, Rules())
    env.assign([np.array([1]), np.array([0]), np.array([1])])
    none = np.full(3, -1)
    first = env.states()
    env.step(first, none, none, np.array([1, 2, env.terminal]))  # bicycle, hat, next subject
    agent = make_agent(graph, scenes, features, use_box_geometry=False, feature_dimension=2)
    dense, pair = agent.encoder(np.concatenate([env.states(), first[:1]]), CPU)
    assert dense.tolist() == [
        [2000, 2001, 2010, 2020, 2030, 2040],  # b: person, bicycle
        [1000, 1001, 1010, 1020, 1050, 1060],  # a: person, hat
        [2000, 2001, 2030, 2040, 0, 0],  # b: the bicycle, no object yet
        [2000, 2001, 2010, 2020, 0, 0],  # b: the person, no object yet
    ]
    assert pair.tolist() == [[0, 1], [0, 2], [1, 8], [0, 8]]


def test_features_are_looked_up_once_an_image():
    """Port fault: features were made crop by crop, again and again."""
    graph = street_graph()
    scenes = scene_set(graph, [street("a"), street("b")])
    asked = []

    class Features(dict):
        def __getitem__(self, name):
            asked.append(name)
            return np.zeros(2, np.float32), np.zeros((4, 2), np.float32)

    env = SceneGraphEnvironment(scenes, 6, Rules())
    env.assign([np.array([i % 2]) for i in range(6)])
    make_agent(graph, scenes, Features(), feature_dimension=2)(env.states())
    assert sorted(asked) == ["a", "b"]


class TwoNumbers:
    """A phrase encoder: how many words, how many letters."""

    dimension, identity = 2, "two numbers"

    def __init__(self):
        self.encoded = []

    def encode(self, phrases):
        self.encoded += phrases
        return np.array([[len(phrase.split()), len(phrase.replace(" ", ""))] for phrase in phrases], np.float32)


def test_history_phrases_in_the_state():
    walk, scenes = walks()
    words = TwoNumbers()
    agent = make_agent(walk.graph, scenes, phrases=PhraseStore(words), use_box_geometry=False, phrase_dimension=2)

    def vector():
        return agent.encoder(walk.env.states(), CPU)[0][0].tolist()

    assert vector() == [0] * 8  # no phrase yet
    walk.step("bicycle", attribute="young")
    assert vector() == [0, 0, 0, 0, 2, 11, 0, 0]  # young person
    walk.step("hat", attribute="wet", predicate="next to")
    assert vector() == [0, 0, 4, 19, 2, 9, 2, 11]  # person next to bicycle; wet person, young person
    walk.step("Terminal")
    assert vector() == [0, 0, 4, 19, 0, 0, 0, 0]  # what the bicycle took part in
    walk.step("person", attribute="red")
    assert vector() == [4, 19, 4, 19, 2, 10, 0, 0]  # the pair the other way round; the same; red bicycle
    assert sorted(words.encoded) == ["person next to bicycle", "red bicycle", "wet person", "young person"]  # once each


def test_all_parts_of_the_state_together():
    walk, scenes = walks("bicycle")
    features = {"1.jpg": (np.ones(3, np.float32), np.ones((4, 3), np.float32))}
    agent = make_agent(
        walk.graph,
        scenes,
        features,
        PhraseStore(TwoNumbers()),
        feature_dimension=3,
        phrase_dimension=2,
        learned_category_vectors=5,
    )
    dense, _ = agent.encoder(walk.env.states(), CPU)
    assert dense.dtype == torch.float32
    assert dense.shape[1] + 2 * 5 == agent.network.options.state_dimension
    assert agent(walk.env.states()).q.entity.shape == (1, 9)


# Choices ------------------------------------------------------------------------------------------


def test_epsilon_is_for_each_action_of_the_triple():
    walk, scenes = walks("bicycle")
    agent = make_agent(walk.graph, scenes)
    say_always(agent.network, {"young": 1}, {"near": 1}, {"hat": 1, "Terminal": 2})
    states = np.repeat(walk.env.states(), 20_000)
    uniform = np.random.default_rng(0).random((20_000, 6))

    best = agent.act(states, 0.0, uniform)
    assert [set(part.tolist()) for part in best] == [{0}, {3}, {8}]

    explored = agent.act(states, 1.0, uniform)
    assert [set(part.tolist()) for part in explored] == [{0, 2, 3}, {0, 1, 3}, {2, 8}]

    mixed = agent.act(states, 0.3, uniform)
    other = [(part != number).mean() for part, number in zip(mixed, (0, 3, 8), strict=True)]
    assert other == pytest.approx([0.3 * 2 / 3, 0.3 * 2 / 3, 0.3 / 2], abs=0.015)
    both = ((mixed[0] != 0) & (mixed[1] != 3)).mean()
    assert both == pytest.approx(0.2 * 0.2, abs=0.01)  # one does not depend on the other


def test_the_agent_never_leaves_the_action_sets():
    walk, scenes = walks()
    agent = make_agent(walk.graph, scenes)
    say_always(agent.network, {"red": 99}, {"wearing": 99}, {"car": 99}, default=-5)
    rng = np.random.default_rng(0)
    while walk.env.active.any():
        states = walk.env.states()
        for epsilon in (0.0, 0.5, 1.0):
            triple = agent.act(states, epsilon, rng.random((1, 6)))
            for action, allowed in zip(triple, agent.action_sets(states), strict=True):
                assert allowed[0, action[0]] if allowed.any() else action[0] == -1
        walk.env.step(states, *triple)


def test_the_same_seed_makes_the_same_network():
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(QNetwork(ModelOptions(use_box_geometry=True, fusion_sizes=(8,)), street_graph()))
    assert all(torch.equal(a, b) for a, b in zip(*(n.parameters() for n in networks), strict=True))


def test_confidence_of_a_q_ranks_across_states_and_is_never_lost():
    """Rewards -1 and 1: Q 0 is half way; the only action of a state has a confidence too; order is that of Q."""
    q = torch.tensor([[0.0, 0.5, -3.0, 40.0]])
    confidence = confidence_of(q, (-1.0, 1.0))[0].tolist()
    assert confidence == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(6)), 1.0])
    assert confidence_of(torch.tensor([[2.0]]), (-1.0, 5.0)).item() == pytest.approx(0.5)
    assert confidence_of(torch.zeros(2, 0), (-1.0, 1.0)).shape == (2, 0)

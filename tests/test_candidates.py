"""The candidate network: Q of looking at a pair, what it learns, and what it costs."""

import copy

import numpy as np
import pytest
import torch
from small_world import image, make_graph, scene_set, seen

from action_sets import ActionSetMaker
from boxes import CONTEXT, GEOMETRY
from engine.best_first import BestFirstEnvironment
from files.options import REMEMBERED, REPEATS, Rules
from q_learning import Learner, LearningOptions
from replay_memory import transition_dtype
from vrl_model import Agent, ModelOptions, QNetwork, StateEncoder

GRAPH = make_graph(["person", "bicycle"], [], ["riding", "near"], [], [("person", "riding", "bicycle", 1)])
PERSON, BICYCLE = (10, 10, 40, 100), (40, 60, 60, 60)
RULES = Rules(frontier="best_first", step_cost=0.25, new_phrases_only=True, use_adaptive_action_sets=False)


def scenes_of(confidences=(1.0, 1.0)):
    likely = [{"person": confidences[0]}, {"bicycle": confidences[1]}]
    record = image([("person", PERSON), ("bicycle", BICYCLE)], [(0, "riding", 1)])
    return scene_set(GRAPH, [record], [seen(GRAPH, [PERSON, BICYCLE], likely)], neighbour_factor=100)


def agent_of(scenes, **options):
    model = ModelOptions(
        **{
            "fusion_sizes": (8,),
            "candidate_sizes": (4, 3),
            "use_box_geometry": True,
            "use_pair_context": True,
            "learned_category_vectors": 3,
            "reward_loss": "cross_entropy",
            "best_first": True,
            "remembered_predicates": 2,
        }
        | options
    )
    network = QNetwork(model, GRAPH, RULES).eval()
    return Agent(network, StateEncoder(scenes, model), ActionSetMaker(GRAPH, RULES), torch.device("cpu"))


def walk_of(agent, scenes):
    """Transitions of the two looks at the image: (person, bicycle), which is annotated, and (bicycle, person)."""
    env = BestFirstEnvironment(scenes, 1, RULES)
    env.assign([np.arange(1)])
    promise = lambda candidates: (candidates["subject"] == 0) * np.float32(0.5)  # noqa: E731
    env.advance(promise, may_stop=False)
    rows = np.zeros(2, transition_dtype(env.dtype))
    for row in rows:
        row["state"] = env.states()[0]
        row["action"] = [-1, 0, 0]
        judged = agent(env.states()).predicate_confidence.numpy()
        row["reward"] = env.say(env.states(), np.array([-1]), np.array([0]), judged)[0]
        row["following"] = env.advance(promise, may_stop=False)[0][0]
    return rows


@torch.no_grad()
def say_always(network, chance, future=0.0):
    """The candidate network gives the same log-odds and the same value of what follows for every pair."""
    network.candidate.chance.weight.zero_()
    network.candidate.chance.bias.fill_(chance)
    if network.candidate.future is not None:
        network.candidate.future.weight.zero_()
        network.candidate.future.bias.fill_(future)


def candidates_of(scenes):
    env = BestFirstEnvironment(scenes, 1, RULES)
    env.assign([np.arange(1)])
    return env._candidates(np.zeros(2, int), np.array([0, 1]), np.array([1, 0]))


def test_the_promise_is_the_expected_reward_of_looking():
    """Chance 3/4; both objects are what they seem with 0.8 x 0.5; 1 for something new, 0.25 for looking."""
    scenes = scenes_of((0.8, 0.5))
    agent = agent_of(scenes)
    say_always(agent.network, np.log(3))
    assert agent.promise(candidates_of(scenes)).tolist() == pytest.approx([0.75 * 0.4 - 0.25] * 2)
    agent = agent_of(scenes, candidate_future=True)
    say_always(agent.network, np.log(3), future=0.5)
    assert agent.promise(candidates_of(scenes)).tolist() == pytest.approx([0.75 * 0.4 - 0.25 + 0.5] * 2)


def test_a_candidate_and_the_state_it_leads_to_have_one_q():
    scenes = scenes_of()
    agent = agent_of(scenes)
    env = BestFirstEnvironment(scenes, 1, RULES)
    env.assign([np.arange(1)])
    promised = agent.promise(env._candidates(np.zeros(1, int), np.array([0]), np.array([1])))
    env.advance(lambda candidates: -candidates["subject"].astype(np.float32))
    assert agent(env.states()).q.entity[0].tolist() == pytest.approx(promised.tolist(), rel=1e-5)


@pytest.mark.parametrize("remembered", [0, 2])
def test_without_memory_nothing_that_was_said_is_in_the_state(remembered):
    """The exchanged pair was said to be riding with a chance of 3/4, or of 0: does the next look see it?"""
    scenes = scenes_of()
    agent = agent_of(scenes, remembered_predicates=remembered)
    opinions = []
    for chance in (0.0, 0.75):
        env = BestFirstEnvironment(scenes, 1, RULES)
        env.assign([np.arange(1)])
        env.advance(lambda candidates: -candidates["subject"].astype(np.float32), may_stop=False)
        env.say(env.states(), np.array([-1]), np.array([0]), np.array([[chance, 0.0]], np.float32))
        env.advance(lambda candidates: -candidates["subject"].astype(np.float32), may_stop=False)
        opinions.append(np.concatenate([q[0].numpy() for q in agent(env.states()).q]))
    assert (opinions[0] == opinions[1]).all() == (remembered == 0)


def test_what_looking_is_worth_is_learned_from_whether_it_found_something_new():
    """Cross-entropy; annotated pairs, drawn six times as often, count a sixth each."""
    scenes = scenes_of()
    agent = agent_of(scenes, replay_preference=6.0)
    made = Learner(agent, copy.deepcopy(agent.network), None, LearningOptions(learn_from="all", discount_factor=0.0))
    say_always(agent.network, 0.4)
    rows = walk_of(agent, scenes)
    assert rows["reward"][:, 2].tolist() == [0.75, -0.25]
    found, nothing = np.log1p(np.exp(-0.4)) / 6, np.log1p(np.exp(0.4))
    assert made.losses(rows[:1]).tolist()[2] == pytest.approx(found, rel=1e-5)
    assert made.losses(rows[1:]).tolist()[2] == pytest.approx(nothing, rel=1e-5)
    assert made.losses(rows).tolist()[2] == pytest.approx((found + nothing) / 2, rel=1e-5)


def test_what_follows_is_the_discounted_q_of_the_best_pair_left():
    """0.5 for (bicycle, person) is left after the first look? No: 0, as only pairs of the person promise anything."""
    scenes = scenes_of()
    agent = agent_of(scenes, candidate_future=True)
    made = Learner(agent, copy.deepcopy(agent.network), None, LearningOptions(learn_from="all", discount_factor=0.9))
    say_always(agent.network, 0.0, future=0.3)
    rows = walk_of(agent, scenes)
    assert rows["following"].tolist() == [0, 0]
    rows["following"] = 0.5
    fit = np.log(2)  # chance a half, whether found or not
    assert made.losses(rows[1:]).tolist()[2] == pytest.approx(fit + (0.3 - 0.9 * 0.5) ** 2, rel=1e-5)


def test_members_share_one_candidate_network():
    scenes = scenes_of()
    agent = agent_of(scenes, num_members=3)
    rows = walk_of(agent, scenes)
    outputs, _ = agent.network(*agent.encoder(rows["state"], agent.device), every_member=True)
    assert outputs.shape == (3, 2, 0 + 2 + 1)
    assert (outputs[0, :, 2] == outputs[2, :, 2]).all()
    assert (outputs[0, :, :2] != outputs[2, :, :2]).all()


def test_a_trained_network_keeps_the_parts_of_categories():
    scenes = scenes_of()
    torch.manual_seed(0)
    agent = agent_of(scenes, entity_vector_dimension=2)
    candidates = candidates_of(scenes)
    before = agent.promise(candidates)
    agent.network.candidate.categories.weight.data += 1  # still in training: nothing is kept
    after = agent.promise(candidates)
    assert (after != before).any()
    assert agent.network.trained() is agent.network
    agent.network.candidate.categories.weight.data += 1
    assert (agent.promise(candidates) == after).all()


def test_judging_a_candidate_costs_less_than_a_hundredth_of_looking():
    """At the sizes of `--preset best` on VRD: 70 predicates, five networks of 512 and 256."""
    options = ModelOptions(
        fusion_sizes=(512, 256), use_box_geometry=True, use_pair_context=True, entity_vector_dimension=300,
        best_first=True, remembered_predicates=70, num_members=5,
    )  # fmt: skip
    inputs = GEOMETRY + CONTEXT + REPEATS + REMEMBERED * 70 + 2 * 300
    assert options.state_dimension == inputs
    look = 5 * (inputs * 512 + 512 * 256 + 256 * 70)
    graph = make_graph(["person"], [], [f"p{i}" for i in range(70)], [], [])
    candidate = QNetwork(options, graph, RULES).candidate
    assert candidate.multiply_adds == (GEOMETRY + CONTEXT + REPEATS) * 64 + 64 * 32 + 32
    assert candidate.multiply_adds < 0.01 * look

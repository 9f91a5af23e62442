"""What follows counts: the action that earns less now is right, and the agent learns to take it."""

import numpy as np
import pytest
import torch
from small_world import image, make_graph, scene_set, seen

from action_sets import ActionSetMaker
from engine.loop import TrainingLoop
from environment import SceneGraphEnvironment
from files.options import LearningOptions, ModelOptions, Rules
from q_learning import Learner
from replay_memory import ReplayMemory
from vrl_model import Agent, QNetwork, StateEncoder

# One image, breadth first, one object a subject. The person touches the bag and the table; a chain of things touch each
# other from the table on; nine lamps, of which the detector is more certain than of the chain, touch nothing.
CHAIN = ["table", "cup", "plate", "fork", "glass", "spoon", "napkin"]
NAMES = ["person", "bag", *CHAIN, *(f"lamp {i}" for i in range(9))]
BOXES = [
    (0, 0, 100, 100), (0, 90, 20, 20), *((90 + 90 * i, 0, 100, 100) for i in range(7)),
    *((200 * i, 500, 20, 20) for i in range(9)),
]  # fmt: skip
CONFIDENCE = [1.0, 0.8, *([0.6] * 7), *([0.9] * 9)]
RELATIONSHIPS = [(0, "has", 1), *((i, "has", i + 1) for i in range(2, 8))]
BAG, TABLE = 1, 2


class Quiet:
    """No progress bar."""

    def update(self, _: int) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize(("discount", "first"), [(0.0, BAG), (0.9, TABLE)])
def test_the_object_that_earns_less_now_is_right_where_more_follows(discount, first):
    """The bag earns +5 and the table -1. But who is looked at is the next subject, and from the table on each subject
    finds one more annotated object: +5, then Terminal, -1. By hand, with lambda 0.9 and eight steps:

    table, Terminal, three times an object and Terminal:  -1 - 0.9 + (5 - 0.9) (0.9^2 + 0.9^4 + 0.9^6) = 6.3
    bag, Terminal, Terminal, those of the lamps:           5 - 0.9 - 0.9^2 - ... - 0.9^7 = 0.3
    """
    graph = make_graph(NAMES, [], ["has"], [], [("person", "has", "bag", 1)])
    likely = [{name: confidence} for name, confidence in zip(NAMES, CONFIDENCE, strict=True)]
    record = image(list(zip(NAMES, BOXES, strict=True)), RELATIONSHIPS)
    scenes = scene_set(graph, [record], [seen(graph, BOXES, likely)])
    rules = Rules(
        next_object_reward="relationship", use_adaptive_action_sets=False, maximum_objects_per_subject=1,
        maximum_steps=8,
    )  # fmt: skip
    model = ModelOptions(learned_category_vectors=8, fusion_sizes=(32,))
    torch.manual_seed(0)
    network, target = QNetwork(model, graph, rules), QNetwork(model, graph, rules)
    agent = Agent(network, StateEncoder(scenes, model), ActionSetMaker(graph, rules), torch.device("cpu"))
    learning = LearningOptions(
        discount_factor=discount, batch_size=32, replay_buffer_minimum_number_samples=32, samples_per_transition=16,
        target_update_frequency=20,
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    env = SceneGraphEnvironment(scenes, 4, rules)
    loop = TrainingLoop(env, Learner(agent, target, optimizer, learning), ReplayMemory(2000, 4, env.dtype))

    for _ in range(70):
        loop.begin_epoch(np.zeros(4, dtype=np.int64))
        loop.run_epoch(0.4, Quiet(), lambda: None)
    env.assign([np.zeros(1, dtype=np.int64)] + [np.zeros(0, dtype=np.int64)] * 3)
    states = env.states()
    assert (states["subject"][0], states["object"][0]) == (0, -1)
    assert agent.act(states, 0.0, np.zeros((1, 6)))[2].tolist() == [first]


def test_a_transition_cut_off_by_the_step_limit_goes_on_in_the_replay_memory():
    """So that its target bootstraps from the state that would have been next."""
    graph = make_graph(["person", "bag"], [], ["has"], [], [("person", "has", "bag", 1)])
    record = image([("person", BOXES[0]), ("bag", BOXES[1])], [(0, "has", 1)])
    scenes, rules = scene_set(graph, [record]), Rules(maximum_steps=1)
    model = ModelOptions(learned_category_vectors=8, fusion_sizes=(32,))
    network, target = QNetwork(model, graph, rules), QNetwork(model, graph, rules)
    agent = Agent(network, StateEncoder(scenes, model), ActionSetMaker(graph, rules), torch.device("cpu"))
    env = SceneGraphEnvironment(scenes, 1, rules)
    memory = ReplayMemory(10, 1, env.dtype)
    loop = TrainingLoop(env, Learner(agent, target, None, LearningOptions()), memory)
    loop.begin_epoch(np.zeros(1, dtype=np.int64))
    loop.run_epoch(1.0, Quiet(), lambda: None)
    held = memory.memory[0, :1]
    assert held["done"].tolist() == [False]
    now, following = ((int(held[key]["subject"][0]), int(held[key]["object"][0])) for key in ("state", "next_state"))
    assert now == (0, -1)
    assert following in [(0, 1), (1, -1)], "the bag is looked at, or is the next subject"

"""Exploration, Q-learning targets and losses, by hand numbers."""

import copy

import numpy as np
import pytest
import torch
from small_world import Walker, image, make_agent, make_graph, say_always, scene_set, street_graph

from action_sets import ActionSets
from files.checkpoints import load_optimizer
from q_learning import Learner, LearningOptions, epsilon_at, jittered, make_optimizer, max_allowed
from replay_memory import transition_dtype
from vrl_model import QValues

PERSON, BICYCLE, HAT = (10, 10, 40, 100), (40, 60, 60, 60), (15, 5, 20, 15)

# What the target network always says of the street, and what the network itself says.
TARGET = (
    {"young": 9, "red": 8, "big": 2, "wet": 1},
    {"riding": 1, "next to": 3, "wearing": 7, "near": 2},
    {"bicycle": 6, "hat": 4, "dog": 9, "Terminal": 0.5},
)
ONLINE = (
    {"young": 0.5, "red": 8, "big": -1, "wet": 5},
    {"riding": -2, "next to": 1, "wearing": 9, "near": 4},
    {"bicycle": 7, "hat": 2, "dog": 9, "Terminal": 3},
)


def street_walk():
    graph = street_graph()
    record = image(
        [("person", PERSON, "young", "big"), ("bicycle", BICYCLE), ("hat", HAT)], [(0, "riding", 1), (0, "near", 1)]
    )
    return Walker(graph, scene_set(graph, [record]))


def transition(walk, entity, attribute=None, predicate=None):
    """One step as it lies in the replay memory."""
    row = np.zeros(1, transition_dtype(walk.env.dtype))
    row["state"] = walk.env.states()
    words = (walk.graph.attributes, walk.graph.predicates, [*walk.graph.entities, "Terminal"])
    row["action"] = [
        -1 if w is None else v.index(w) for w, v in zip((attribute, predicate, entity), words, strict=True)
    ]
    row["reward"], row["done"] = walk.step(entity, attribute, predicate)
    row["next_state"] = row["state"] if row["done"] else walk.env.states()
    return row


def steps():
    """Person; bicycle is mined. Then bicycle; hat is mined."""
    walk = street_walk()
    return transition(walk, "bicycle", "young"), transition(walk, "hat", "wet", "riding")


def learner(reward_loss="squared", online=ONLINE, **options):
    walk = street_walk()
    agent = make_agent(walk.graph, walk.env.scenes, reward_loss=reward_loss)
    target = copy.deepcopy(agent.network)
    optimizer = torch.optim.RMSprop(agent.network.parameters(), lr=0.01)
    made = Learner(agent, target, optimizer, LearningOptions(**options))
    say_always(agent.network, *online)
    say_always(target, *TARGET)
    return made


def bootstrap_of(made, rows):
    return made.bootstrap(rows, made.inputs(rows)[1])


# Exploration --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epoch", "epsilon"), [(0, 1), (1, 0.955), (2, 0.91), (10, 0.55), (19, 0.145), (20, 0.1), (21, 0.1), (500, 0.1)]
)
def test_epsilon_falls_linearly_in_twenty_epochs(epoch, epsilon):
    """Port fault: epsilon was multiplied by 0.045 at every step, so that exploration died after one."""
    assert epsilon_at(epoch, LearningOptions()) == pytest.approx(epsilon, abs=1e-12)


def test_epsilon_flags():
    options = LearningOptions(epsilon=0.5, epsilon_anneal_rate=0.2, epsilon_end=0.05)
    assert [epsilon_at(epoch, options) for epoch in range(4)] == pytest.approx([0.5, 0.3, 0.1, 0.05])


# Targets ------------------------------------------------------------------------------------------


def test_max_over_the_action_set():
    q = torch.tensor([[1.0, 5, 3], [1, 5, 3], [-4, -2, -3], [1, 5, 3]])
    other = torch.tensor([[10.0, 20, 30], [10, 20, 30], [10, 20, 30], [10, 20, 30]])
    allowed = np.array([[True, True, True], [True, False, True], [True, False, True], [False, False, False]])
    kinds = QValues(torch.zeros(4, 0), q, q[:, :1])  # of the first kind there is no action at all
    sets = ActionSets(np.zeros((4, 0), dtype=bool), allowed, allowed[:, :1])
    assert max_allowed(kinds, sets).tolist() == [[0, 5, 1], [0, 3, 1], [0, -3, -4], [0, 0, 0]]
    values = QValues(torch.zeros(4, 0), other, -other[:, :1])
    double = max_allowed(kinds, sets, scored_by=values)
    assert double.tolist() == [[0, 20, -10], [0, 30, -10], [0, 30, -10], [0, 0, 0]]


def test_dqn_target():
    """lambda max over the next state's action sets of Q(f', g'; theta-).

    After young was given and the bicycle mined: attributes {big, wet}, predicates {riding, next to, near},
    next objects {hat, Terminal}. Values outside these sets (young 9, wearing 7, dog 9) do not count.
    """
    first, second = steps()
    bootstrap = bootstrap_of(learner(discount_factor=0.9), first)
    assert bootstrap.tolist()[0] == pytest.approx([0.9 * 2, 0.9 * 3, 0.9 * 4])
    # then {big}, {wearing}, {Terminal}
    bootstrap = bootstrap_of(learner(discount_factor=0.5), np.concatenate([first, second]))
    assert bootstrap.tolist()[1] == pytest.approx([0.5 * 2, 0.5 * 7, 0.5 * 0.5])


def test_double_dqn_target():
    """The network chooses wet (5 > -1), near (4) and Terminal (3 > 2); the target network scores them: 1, 2, 0.5."""
    first, _ = steps()
    bootstrap = bootstrap_of(learner(double_dqn=True, discount_factor=0.9), first)
    assert bootstrap.tolist()[0] == pytest.approx([0.9 * 1, 0.9 * 2, 0.9 * 0.5])


@pytest.mark.parametrize("double_dqn", [False, True])
def test_no_bootstrap_at_the_end_of_an_episode(double_dqn):
    walk = street_walk()
    rows = [transition(walk, "Terminal", word) for word in ("young", None, None)]
    assert [bool(row["done"][0]) for row in rows] == [False, False, True]
    bootstrap = bootstrap_of(learner(double_dqn=double_dqn), np.concatenate(rows))
    assert bootstrap[2].tolist() == [0, 0, 0]
    assert (bootstrap[0] != 0).any()


def test_empty_action_sets_have_no_future():
    """A new subject has no object, so there is no predicate to look forward to."""
    walk = street_walk()
    row = transition(walk, "Terminal", "young")
    assert bootstrap_of(learner(), row)[0, 1].item() == 0


# Losses -------------------------------------------------------------------------------------------


def test_squared_loss_of_the_actions_taken():
    """Port fault: r + lambda max Q(f, .; theta) was compared with the target, not Q(f, g taken)."""
    first, second = steps()
    made = learner()
    # young: r 1, then 0.9 * 2. No predicate taken. bicycle: r 5, then 0.9 * 4
    expected = [(0.5 - (1 + 1.8)) ** 2, 0, (7 - (5 + 3.6)) ** 2]
    assert made.losses(first).tolist() == pytest.approx(expected, rel=1e-5)
    # wet: r -1, then 0.9 * 2. riding: r 1, then 0.9 * 7. hat: r 5, then 0.9 * 0.5
    other = [(5 - (-1 + 1.8)) ** 2, (-2 - (1 + 6.3)) ** 2, (2 - (5 + 0.45)) ** 2]
    both = [(a + b) / 2 for a, b in zip(expected, other, strict=True)]
    assert made.losses(np.concatenate([first, second])).tolist() == pytest.approx(both, rel=1e-5)


def test_squared_loss_of_every_action():
    """learn_from "all": all of the action set {young, wet, big}, {} has its reward, and what follows in common.

    Of {bicycle, hat, Terminal} only what follows the bicycle, which was taken, is known; without a discount all are.
    """
    first, _ = steps()
    future = 1.8, 3.6
    attribute = [(q - (r + future[0])) ** 2 for q, r in ((0.5, 1), (5, -1), (-1, 1))]
    losses = learner(learn_from="all").losses(first)
    assert losses.tolist() == pytest.approx([sum(attribute), 0, (7 - (5 + future[1])) ** 2], rel=1e-5)
    losses = learner(learn_from="all", discount_factor=0.0).losses(first)
    attribute, entity = (
        [(q - r) ** 2 for q, r in values] for values in (((0.5, 1), (5, -1), (-1, 1)), ((7, 5), (2, 5), (3, -1)))
    )
    assert losses.tolist() == pytest.approx([sum(attribute), 0, sum(entity)], rel=1e-5)


def test_cross_entropy_loss_of_the_actions_taken():
    """Of what is said: log-odds z of the reward, log(1 + exp(-z)) where it came, log(1 + exp(z)) where it did not.

    The next object, of which other objects follow, learns R + lambda max Q as with squared loss.
    """
    first, second = steps()
    made = learner("cross_entropy")
    expected = [np.log1p(np.exp(-0.5)), 0, (7 - (5 + 3.6)) ** 2]
    assert made.losses(first).tolist() == pytest.approx(expected, rel=1e-5)
    # wet is wrong, riding and hat are right
    expected = [np.log1p(np.exp(5)), np.log1p(np.exp(2)), (2 - (5 + 0.45)) ** 2]
    assert made.losses(second).tolist() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_loss_of_every_action():
    first, _ = steps()
    made = learner("cross_entropy", learn_from="all", discount_factor=0.0)
    right, wrong = (lambda z: np.log1p(np.exp(-z))), (lambda z: np.log1p(np.exp(z)))
    expected = [right(0.5) + wrong(5) + right(-1), 0, (7 - 5) ** 2 + (2 - 5) ** 2 + (3 + 1) ** 2]
    assert made.losses(first).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reward_loss", ["squared", "cross_entropy"])
def test_every_member_learns_as_if_it_were_alone(reward_loss):
    """Towards the same targets: the gradients of one of three are a third of those of a network by itself."""
    walk = street_walk()
    torch.manual_seed(0)
    agent = make_agent(walk.graph, walk.env.scenes, reward_loss=reward_loss, num_members=3)
    single = make_agent(walk.graph, walk.env.scenes, reward_loss=reward_loss)
    single.network.members[0].load_state_dict(agent.network.members[1].state_dict())
    rows = np.concatenate(steps())
    rows["done"] = True  # the targets are the rewards
    for one in (agent, single):
        Learner(one, copy.deepcopy(one.network), None, LearningOptions()).losses(rows).sum().backward()
    theirs, own = agent.network.members[1].parameters(), single.network.members[0].parameters()
    assert all(torch.allclose(3 * p.grad, q.grad, atol=1e-6) for p, q in zip(theirs, own, strict=True))


def touched(made, rows):
    """Which actions of each head the losses pull at."""
    made.losses(rows).sum().backward()
    graph = street_graph()
    words = (graph.attributes, graph.predicates, [*graph.entities, "Terminal"])
    network = made.agent.network
    pulls = network.by_kind(network.members[0].heads.bias.grad)
    return [{v[i] for i in pull.nonzero()[:, 0]} for v, pull in zip(words, pulls, strict=True)]


def test_only_the_actions_taken_are_pulled_at():
    first, second = steps()
    assert touched(learner(), first) == [{"young"}, set(), {"bicycle"}]
    assert touched(learner(), second) == [{"wet"}, {"riding"}, {"hat"}]
    whole = [{"young", "wet", "big"}, set(), {"bicycle", "hat", "Terminal"}]
    assert touched(learner(learn_from="all"), first) == [*whole[:2], {"bicycle"}]
    assert touched(learner(learn_from="all", discount_factor=0.0), first) == whole


def test_targets_are_constants():
    """No gradient goes through the bootstrap, nor into the target network."""
    made = learner(double_dqn=True)
    made.losses(steps()[0]).sum().backward()
    assert all(p.grad is None for p in made.target_network.parameters())
    pulls = made.agent.network.by_kind(made.agent.network.members[0].heads.bias.grad)
    assert pulls.attribute[3].item() == 0  # wet, which the network chose for the target


def test_dropout_works_in_the_loss_only():
    walk = street_walk()
    agent = make_agent(walk.graph, walk.env.scenes, dropout=0.5)
    made = Learner(
        agent, copy.deepcopy(agent.network), torch.optim.RMSprop(agent.network.parameters()), LearningOptions()
    )
    row = steps()[0]
    assert bootstrap_of(made, row).tolist() == bootstrap_of(made, row).tolist()
    assert len({made.losses(row).sum().item() for _ in range(5)}) > 1


# Updates ------------------------------------------------------------------------------------------


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_the_target_network_follows_now_and_then():
    walk = street_walk()
    agent = make_agent(walk.graph, walk.env.scenes)
    target = make_agent(walk.graph, walk.env.scenes).network
    optimizer = torch.optim.RMSprop(agent.network.parameters(), lr=0.01)
    made = Learner(agent, target, optimizer, LearningOptions(target_update_frequency=3))
    assert torch.equal(weights(target), weights(agent.network))  # from the beginning
    start = weights(target)
    row = np.concatenate(steps())
    for update in range(1, 7):
        before = weights(agent.network)
        made.update(row)
        assert not torch.equal(weights(agent.network), before)
        assert torch.equal(weights(target), weights(agent.network)) == (update % 3 == 0)
        if update < 3:
            assert torch.equal(weights(target), start)
    assert made.updates == 6
    assert made.best_network is agent.network


def test_target_averaging():
    """target_averaging a (not in the paper): theta- <- b theta- + (1 - b) theta, b -> a in the first updates."""
    made = learner(target_averaging=0.9)
    row = steps()[0]
    for update in range(100):
        before = weights(made.target_network)
        made.update(row)
        share = min(0.9, (2 + update) / (11 + update))  # of u updates: (1 + u) / (10 + u)
        expected = share * before + (1 - share) * weights(made.agent.network)
        assert torch.allclose(weights(made.target_network), expected, atol=1e-6)
    assert share == 0.9
    assert made.best_network is made.target_network


def test_a_short_training_is_not_averaged_with_its_first_weights():
    made = learner(target_averaging=0.999)
    start = weights(made.target_network)
    for _ in range(20):
        made.update(steps()[0])
    left = (weights(made.target_network) - weights(made.agent.network)).norm()
    assert left < 0.5 * (start - weights(made.agent.network)).norm()


def test_one_optimizer_moves_all_layers():
    made = learner()
    torch.manual_seed(0)
    torch.nn.init.normal_(made.agent.network.members[0].heads.weight)
    before = {name: p.detach().clone() for name, p in made.agent.network.named_parameters()}
    made.update(np.concatenate(steps()))
    assert all((p != before[name]).any() for name, p in made.agent.network.named_parameters())


@pytest.mark.parametrize("reward_loss", ["squared", "cross_entropy"])
def test_learns_the_rewards_of_a_last_step(reward_loss):
    """With nothing to come, Q goes to the reward itself: +1 for young, -1 for wet, -1 for Terminal."""
    graph = street_graph()
    scenes = scene_set(graph, [image([("person", PERSON, "young")])])
    rows = np.concatenate([transition(Walker(graph, scenes), "Terminal", word) for word in ("young", "wet", "wet")])
    assert rows["done"].all()
    torch.manual_seed(0)
    agent = make_agent(graph, scenes, reward_loss=reward_loss)
    optimizer = torch.optim.RMSprop(agent.network.parameters(), lr=0.001)  # larger steps swing about the reward
    made = Learner(agent, copy.deepcopy(agent.network), optimizer, LearningOptions())
    for _ in range(600):
        losses = made.update(rows)
    agent.network.eval()
    q = agent(rows["state"][:1]).q
    assert q.attribute[0, [0, 3]].tolist() == pytest.approx([1, -1], abs=0.15)
    assert q.entity[0, 8].item() == pytest.approx(-1, abs=0.15)
    assert losses.shape == (3,)
    assert not losses.requires_grad


def test_a_graph_without_attributes_learns():
    graph = make_graph(["person", "bicycle"], [], ["riding"], [], [("person", "riding", "bicycle", 1)])
    scenes = scene_set(graph, [image([("person", PERSON), ("bicycle", BICYCLE)], [(0, "riding", 1)])])
    for options in ({}, {"learn_from": "all", "double_dqn": True}):
        walk = Walker(graph, scenes)
        rows = np.concatenate([transition(walk, "bicycle"), transition(walk, "Terminal", predicate="riding")])
        agent = make_agent(graph, scenes)
        optimizer = torch.optim.RMSprop(agent.network.parameters())
        losses = Learner(agent, copy.deepcopy(agent.network), optimizer, LearningOptions(**options)).update(rows)
        assert losses[0].item() == 0
        assert torch.isfinite(losses).all()


def test_jitter_moves_boxes_by_a_share_of_their_sides():
    """box_jitter (not in the paper): only the boxes of the batch move, and only those that there are."""
    first, second = (row["state"] for row in steps())
    normal = np.zeros((1, 8), np.float32)
    normal[0, [0, 3, 4]] = 1, -1, 2
    moved = jittered(second, 0.1, normal)
    # person 10 10 49 109: 40 x 100 pixels; bicycle 40 60 99 119: 60 x 60
    assert moved["subject_box"].tolist() == [[14, 10, 49, 99]]
    assert moved["object_box"].tolist() == [[52, 60, 99, 119]]
    assert second["subject_box"].tolist() == [[10, 10, 49, 109]]
    assert jittered(first, 0.1, normal)["object_box"].tolist() == [[0, 0, 0, 0]]
    wild = jittered(second, 5.0, np.array([[9.0, 9, -9, -9, 9, 9, -9, -9]]))
    assert (wild["subject_box"][:, 2:] >= wild["subject_box"][:, :2]).all()


def test_rmsprop_is_adam_that_averages_no_gradient_and_keeps_no_average():
    """Bit for bit, also after a checkpoint; the average in its state is the gradient itself, no memory of its own."""
    options = LearningOptions(learning_rate=0.01, weight_decay=0.1)
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2)]
    plain = torch.optim.Adam(weights[:1], lr=0.01, betas=(0.0, 0.99), weight_decay=0.1, fused=True)
    ours = make_optimizer(weights[1:], options)
    for step in range(6):
        if step == 3:
            saved, ours = ours.state_dict(), make_optimizer(weights[1:], options)
            load_optimizer(ours, saved)
        for weight, optimizer in zip(weights, (plain, ours), strict=True):
            weight.grad = torch.sin(weight.detach() * (step + 1))
            optimizer.step()
        assert torch.equal(*weights)
    assert ours.state[weights[1]]["exp_avg"] is weights[1].grad

"""Many images together: slots, queues, continuing from a copy."""

import numpy as np
from small_world import Walker, image, scene_set, street_graph
from street import street

from environment import SceneGraphEnvironment
from files.options import Rules


def fleet():
    """Four images of one, two, three and four objects."""
    graph = street_graph()
    objects = street().labels.objects
    records = []
    for count in (1, 2, 3, 4):
        record = street([(0, "riding", 1)] if count > 1 else [])
        record.labels.objects = objects[:count]
        record.image_name = f"{count}.jpg"
        records.append(record)
    return scene_set(graph, records)


def terminal(env):
    """Choose Terminal everywhere; the rewards and what ended."""
    none = np.full(int(env.active.sum()), -1)
    return env.step(env.states(), none, none, np.full(len(none), env.terminal))


def test_slots_go_through_their_own_queues():
    scenes = fleet()
    env = SceneGraphEnvironment(scenes, 3, Rules())
    env.assign([np.array([1, 0]), np.array([3]), np.array([], dtype=int)])
    rows = []
    while env.active.any():
        rows.append((np.flatnonzero(env.active).tolist(), env.states()["scene"].tolist()))
        terminal(env)
    assert rows == [([0, 1], [1, 3]), ([0, 1], [1, 3]), ([0, 1], [0, 3]), ([1], [3])]


def test_idle_slots_do_not_disturb_the_others():
    scenes = fleet()
    env = SceneGraphEnvironment(scenes, 2, Rules())
    env.assign([np.array([0]), np.array([2])])
    none = np.array([-1, -1])
    env.step(env.states(), none, none, np.array([env.terminal, scenes.graph.entities.index("bicycle")]))
    assert env.active.tolist() == [False, True]  # slot 0 is done with its image of one object
    alone = Walker(scenes.graph, scene_set(scenes.graph, [scenes.records[2]]))
    alone.step("bicycle")
    for name in ("entities", "instances", "entities_right", "attributes_right", "predicates_right"):
        assert env.states()[0][name].tolist() == alone.state[name].tolist(), name
    assert alone.step("hat")[0][2] == 5


def test_assigning_again_starts_over():
    scenes = fleet()
    env = SceneGraphEnvironment(scenes, 1, Rules())
    env.assign([np.array([3])])
    first = env.states()
    none = np.array([-1])
    env.step(first, np.array([0]), none, np.array([1]))
    env.assign([np.array([3])])
    assert env.states().tobytes() == first.tobytes()


def test_going_on_from_a_copy():
    scenes = fleet()
    env = SceneGraphEnvironment(scenes, 2, Rules())
    env.assign([np.array([0, 3]), np.array([1, 2])])
    terminal(env)
    saved = env.state_dict()
    kept = {name: tensor.clone() for name, tensor in saved.items()}
    copy = SceneGraphEnvironment(scenes, 2, Rules())
    copy.load_state_dict(saved)
    while env.active.any():
        assert env.states().tobytes() == copy.states().tobytes()
        for mine, other in zip(terminal(env), terminal(copy), strict=True):
            assert mine.tolist() == other.tolist()
    assert not copy.active.any()
    assert all((kept[name] == saved[name]).all() for name in saved)  # a saved state does not move on


def test_going_back_to_an_earlier_state():
    graph = fleet().graph
    many = image([("person", (i, i, 50, 50)) for i in range(12)], name="many.jpg")
    scenes = scene_set(graph, [street(), many])
    env = SceneGraphEnvironment(scenes, 1, Rules())
    env.assign([np.array([0, 1])])
    saved, first = env.state_dict(), env.states()
    for _ in range(5):
        terminal(env)
    assert env.states()["scene"] == 1
    env.load_state_dict(saved)
    assert env.states().tobytes() == first.tobytes()

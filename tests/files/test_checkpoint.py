"""Checkpoints: what goes in comes out; anything else is refused in one line; resuming is as if never stopped."""

import argparse
import copy
import itertools
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from small_world import image, make_agent, scene_set, street_graph
from tqdm import tqdm

from engine.loop import TrainingLoop
from environment import SceneGraphEnvironment
from files.checkpoints import (
    GREATEST,
    LOW,
    RUN,
    load_checkpoint,
    load_parameters,
    packed,
    read_tensors,
    save_checkpoint,
)
from files.io import InputError
from files.options import Rules
from q_learning import Learner, LearningOptions, epsilon_at
from replay_memory import ReplayMemory


def same(a, b):
    """Whether two nested values are the same to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1.5, "x", None, True], "c": {"d": []}},
        {"tensor": torch.arange(6.0).view(2, 3), "half": torch.zeros(2, dtype=torch.bfloat16)},
        {"flags": torch.tensor([True, False]), "bytes": torch.arange(5).byte(), "none": torch.zeros(0, 3)},
        {"wide": torch.tensor([2**60, -1]), "one": torch.tensor(3.5), "turned": torch.arange(6).reshape(2, 3).T},
        {"optimizer": {"state": {0: {"square_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}},
        {1: "number as a key"},
    ],
)
def test_what_goes_in_comes_out(tmp_path, value):
    save_checkpoint(tmp_path / "x.pt", value)
    loaded = load_checkpoint(tmp_path / "x.pt")
    assert loaded.pop("format").startswith("vrl checkpoint")
    assert same(loaded, value)


def test_it_is_written_and_read_without_pickled_code(tmp_path):
    save_checkpoint(tmp_path / "x.pt", {"a": torch.ones(3)})
    assert torch.load(tmp_path / "x.pt", weights_only=True)["format"]
    torch.save({"format": "vrl checkpoint 1", "a": os.getcwd}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"evil\.pt: is not a checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\n",
        b"PK\x03\x04 cut off",
        pickle.dumps({"format": "vrl checkpoint 1"}),
        pickle.dumps([1, 2]),
        b"\x80\x02" + bytes(range(200)),
        b"\x80\x02a.",  # a pickle that asks for what is not there
        b"\x80\x02K\x01R.",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b'{"json": 1}',
    ],
)
def test_a_file_of_something_else_is_one_line(tmp_path, content):
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt: .*train first: python main\.py --train") as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_version_is_told(tmp_path):
    torch.save({"format": "vrl checkpoint 1", "network": {}}, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: was written by another version of main\.py; train first"):
        load_checkpoint(tmp_path / "last.pt")


@pytest.mark.parametrize("content", [{"format": "another"}, {"no": "format"}, [1], 3, torch.zeros(2)])
def test_a_torch_file_of_something_else_is_one_line(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"is not a checkpoint of main\.py"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"a": torch.arange(3000.0), "b": torch.arange(500)})
    whole = path.read_bytes()
    for length in (1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as error:
            load_checkpoint(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def shared_lists(depth):
    """Lists of ten times the same list: little to write, 10 ** depth to walk through."""
    value = [1] * 10
    for _ in range(depth):
        value = [value] * 10
    return value


def itself():
    value = []
    value.append(value)
    return value


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def tuples(depth):
    value = ()
    for _ in range(depth):
        value = (value, value)
    return value


BITING = {
    "lists that share": lambda: shared_lists(9),
    "a list that holds itself": itself,
    "lists within lists": lambda: nested(150),
    "a key that is hashed through": lambda: {tuples(3): 1},
    "a view of more than there is": lambda: torch.zeros(1).expand(10**9),
    "sparse": lambda: torch.zeros(3, 3).to_sparse(),
    "without numbers": lambda: torch.zeros(10**9, device="meta"),
    "quantized": lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
    "bytes that are not there": lambda: bytearray(5),
    "a set": lambda: {1, 2},
    "a type": lambda: torch.float32,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", BITING)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_small_file_does_not_become_a_large_one(tmp_path, what, zipped):
    torch.save({"a": BITING[what]()}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"x\.pt: is not a PyTorch file of tensors, or damaged \(.*\); get it again"):
        read_tensors(tmp_path / "x.pt", "get it again")


def test_the_arguments_of_torchvisions_script_are_read(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=0.1)}, tmp_path / "x.pt")
    assert read_tensors(tmp_path / "x.pt", "")["args"].lr == 0.1
    torch.save({"args": argparse.Namespace(a=shared_lists(9))}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="unfolds"):
        read_tensors(tmp_path / "x.pt", "")


def test_the_format_of_old_weights_is_read(tmp_path):
    state = torch.nn.BatchNorm1d(3).state_dict() | {"half": torch.ones(2, 2).half().T}
    torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    assert same(dict(read_tensors(tmp_path / "x.pt", "")), dict(state))
    data = (tmp_path / "x.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(data[:-4])
    with pytest.raises(InputError, match="damaged"):
        read_tensors(tmp_path / "x.pt", "")


@pytest.mark.parametrize("name", ["data.pkl", "data/0"])
@pytest.mark.parametrize("how", ["deflated", "twice", "another size"])
def test_an_archive_that_announces_more_than_it_has(tmp_path, name, how):
    torch.save({"a": torch.zeros(10_000)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as old, zipfile.ZipFile(tmp_path / "y.pt", "w") as new:
        for member in old.namelist():
            mine = member.endswith(name)
            data = old.read(member)
            packed = zipfile.ZIP_DEFLATED if mine and how == "deflated" else zipfile.ZIP_STORED
            new.writestr(member, data[:-4] if mine and how == "another size" else data, packed)
            if mine and how == "twice":
                with pytest.warns(UserWarning, match="Duplicate"):
                    new.writestr(member, data)
    with pytest.raises(InputError, match="damaged"):
        read_tensors(tmp_path / "y.pt", "")


def test_a_flipped_bit_in_a_checkpoint_is_noticed(tmp_path):
    save_checkpoint(tmp_path / "x.pt", {"a": torch.arange(100.0)})
    data = bytearray((tmp_path / "x.pt").read_bytes())
    data[data.index(torch.arange(100.0).numpy().tobytes()) + 50] ^= 4
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("columns", [1, 2, RUN, 2 * RUN + 3])
def test_a_packed_matrix_loses_little_in_12_bits_a_number(tmp_path, columns):
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, columns, generator=rng) * torch.logspace(-9, 1, 5)[:, None]
    matrix[1] = 0
    matrix[2, 0], matrix[2, -1] = 1000, -200_000  # large numbers cost those of their own run alone
    parts = packed("w", matrix)
    bits = 8 * sum(part.numel() * part.element_size() for part in parts.values())
    assert bits <= matrix.numel() * 12 + 5 * 4 + 5 * 32 * -(-columns // RUN)
    save_checkpoint(tmp_path / "x.pt", {"network": parts | {"b": torch.ones(3)}})
    read = load_checkpoint(tmp_path / "x.pt")["network"]
    assert read.keys() == {"w", "b"}
    assert read["w"].shape == matrix.shape
    for row, loaded in zip(matrix, read["w"], strict=True):
        for run, values in zip(row.split(RUN), loaded.split(RUN), strict=True):
            assert (run - values).abs().max() <= run.abs().max() / 4000


def test_a_packed_matrix_by_hand():
    """The greatest, 2047, makes steps of one: -3 is -1 times 16, and 13; 100 is 6 times 16, and 4."""
    parts = packed("w", torch.tensor([[2047.0, -3.0, 100.0]]))
    assert parts["w"].tolist() == [[127, -1, 6]]
    assert parts["w.low"].tolist() == [[15 + (13 << 4), 4]]
    assert parts["w.greatest"].tolist() == [[2047.0]]


def test_parts_that_do_not_fit_their_matrix_are_refused(tmp_path):
    good = packed("w", torch.ones(4, RUN + 1))
    for bad in (
        {GREATEST: torch.ones(4, 1)},
        {GREATEST: torch.ones(3, 2)},
        {GREATEST: 1.0},
        {LOW: torch.ones(4, 3, dtype=torch.uint8)},
        {LOW: torch.ones(4, RUN // 2 + 1)},
        {LOW: None},
        {"": torch.ones(4)},
        {"": torch.ones(4, RUN + 1)},
        {"": None},
        {GREATEST: torch.ones(4, 2, dtype=torch.bool)},
        {GREATEST: torch.ones(1, 1).expand(4, 2)},
        {GREATEST + LOW: torch.ones(4, 2)},
    ):
        save_checkpoint(tmp_path / "x.pt", {"network": good | {"w" + key: value for key, value in bad.items()}})
        with pytest.raises(InputError, match=r"x\.pt: the parts of w\S* do not fit each other; is the file damaged\?"):
            load_checkpoint(tmp_path / "x.pt")
    save_checkpoint(tmp_path / "x.pt", {"network": {"w": torch.ones(2, 2).char(), "w.scale": torch.ones(2, 1)}})
    with pytest.raises(InputError, match=r"x\.pt: w\.scale is of another version .*; export the agent again"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_checkpoint_without_what_is_needed(tmp_path):
    save_checkpoint(tmp_path / "best.pt", {"network": {}, "rows": 3})
    with pytest.raises(InputError, match=r"best\.pt: lacks rows, target; give last\.pt to resume"):
        load_checkpoint(tmp_path / "best.pt", {"network": dict, "rows": list, "target": dict})
    save_checkpoint(tmp_path / "best.pt", {"description": {}})
    with pytest.raises(InputError, match="does not say which graph"):
        load_checkpoint(tmp_path / "best.pt", {"description": dict})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("bias"), "1 missing: bias"),
        (lambda state: state.update(more=torch.zeros(1)), "1 extra: more"),
        (lambda state: state.update(bias=torch.zeros(3)), r"1 misshapen: bias \(3, not 2\)"),
        (lambda state: state.update(bias=torch.tensor([1.0, torch.nan])), "bias holds NaN"),
        (
            lambda state: state.update(bias=torch.tensor([1.0, 1e300], dtype=torch.float64)),
            "bias holds NaN or infinity",
        ),
        (lambda state: state.update(bias=torch.zeros(2, dtype=torch.complex64)), "bias holds complex numbers"),
        (lambda state: state.update(bias=2), "'bias', which is not a name with a tensor"),
        (lambda state: state.update({3: torch.zeros(2)}), "has 3, which is not a name with a tensor"),
        (lambda state: state.clear(), "holds no state_dict"),
    ],
)
def test_parameters_that_do_not_fit_are_named(change, said):
    module = torch.nn.Linear(2, 2)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    change(state)
    with pytest.raises(InputError, match=f"x\\.pt: .*{said}"):
        load_parameters(module, state, "x.pt")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(InputError, match="is not a regular file"):
        read_tensors(tmp_path / "x.pt", "")


def test_a_missing_file_or_a_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no\.pt: no such file; train first"):
        load_checkpoint(tmp_path / "no.pt")
    with pytest.raises(InputError, match="is a folder"):
        load_checkpoint(tmp_path)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"a": 1})
    with pytest.raises(Exception, match=r"(?i)pickle"):
        save_checkpoint(path, {"a": lambda: None})
    assert load_checkpoint(path)["a"] == 1
    assert os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    from files import io as formats

    def on_full_disk(file, mode, encoding=None):
        if isinstance(file, int):
            os.close(file)
            return open("/dev/full", mode, buffering=0)
        return open(file, mode, encoding=encoding)

    path = tmp_path / "last.pt"
    save_checkpoint(path, {"a": 1})
    monkeypatch.setattr(formats, "open", on_full_disk, raising=False)
    with pytest.raises(InputError, match="disk is full"):
        save_checkpoint(path, {"a": torch.zeros(100_000)})
    assert load_checkpoint(path)["a"] == 1


# Resuming ----------------------------------------------------------------------------------------


def make_trainer(**options):
    """A small training run on nine images."""
    graph = street_graph()
    rng = np.random.default_rng(1)
    records = []
    for i in range(9):
        boxes = rng.integers(1, 50, (int(rng.integers(1, 6)), 4)).tolist()
        objects = [(graph.entities[rng.integers(3)], box, graph.attributes[rng.integers(4)]) for box in boxes]
        relationships = [(0, graph.predicates[rng.integers(4)], len(boxes) - 1)]
        records.append(image(objects, relationships, f"{i}.jpg"))
    scenes = scene_set(graph, records)
    torch.manual_seed(0)
    agent = make_agent(graph, scenes, learned_category_vectors=4, dropout=0.2)
    optimizer = torch.optim.RMSprop(agent.network.parameters(), lr=0.01)
    learning = LearningOptions(
        **{
            "batch_size": 8,
            "replay_buffer_minimum_number_samples": 16,
            "target_update_frequency": 3,
            "double_dqn": True,
            "seed": 4,
        }
        | options
    )
    env = SceneGraphEnvironment(scenes, 4, Rules())
    learner = Learner(agent, copy.deepcopy(agent.network), optimizer, learning)
    return TrainingLoop(env, learner, ReplayMemory(40, 4, env.dtype))


class Enough(Exception):
    pass


def train(trainer, epochs, stop_after=None, begun=False):
    """Train until `epochs` are done, or until `stop_after` pauses have been made; the epochs' sums."""
    pauses, rows = 0, []

    def pause():
        nonlocal pauses
        pauses += 1
        if pauses == stop_after:
            raise Enough

    while trainer.epoch < epochs:
        if not begun:
            trainer.begin_epoch(np.arange(9))
        begun = False
        with tqdm(disable=True) as bar:
            trainer.run_epoch(epsilon_at(trainer.epoch, LearningOptions(epsilon_anneal_rate=0.3)), bar, pause)
        row = trainer.sums.row()
        rows.append({key: value for key, value in row.items() if "second" not in key})
    return rows


def everything(trainer):
    """All that a checkpoint holds of a run."""
    learner = trainer.learner
    return {
        "network": learner.agent.network.state_dict(),
        "target": learner.target_network.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "trainer": trainer.state_dict(),
    }


def outcome(trainer):
    """What must be the same however often a run was interrupted."""
    content = everything(trainer)
    content["trainer"]["sums"][2] = 0.0  # seconds
    return content


@pytest.mark.parametrize("stop_after", [1, 7, 20])
def test_going_on_is_the_same_as_never_having_stopped(tmp_path, stop_after):
    whole = make_trainer()
    rows = train(whole, 3)

    first = make_trainer()
    with pytest.raises(Enough):
        train(first, 3, stop_after)
    save_checkpoint(tmp_path / "last.pt", everything(first))
    done = first.epoch

    second = make_trainer()
    torch.manual_seed(99)  # whatever else has happened in the new process
    saved = load_checkpoint(tmp_path / "last.pt")
    second.learner.agent.network.load_state_dict(saved["network"])
    second.learner.target_network.load_state_dict(saved["target"])
    second.learner.optimizer.load_state_dict(saved["optimizer"])
    second.load_state_dict(saved["trainer"])
    assert train(second, 3, begun=True) == rows[done:]
    assert same(outcome(second), outcome(whole))


def test_a_seed_makes_a_run_repeatable():
    runs, rows = [], []
    for seed in (4, 4, 5):
        runs.append(make_trainer(seed=seed))
        rows.append(train(runs[-1], 2))
    assert rows[0] == rows[1]
    assert same(outcome(runs[0]), outcome(runs[1]))
    assert rows[0] != rows[2]


def test_an_epoch_walks_over_every_image_once():
    trainer = make_trainer()
    ended = []
    step = trainer.env.step

    def counted(states, *triple):
        rewards, done = step(states, *triple)
        ended.extend(states["scene"][done].tolist())
        return rewards, done

    trainer.env.step = counted
    train(trainer, 1)
    first = ended.copy()
    train(trainer, 2)
    assert sorted(first) == sorted(ended[9:]) == list(range(9))
    assert ended[9:] != first  # in another order


@pytest.mark.parametrize(("samples", "minimum"), [(1.0, 16), (2.5, 16), (1.0, 10**6)])
def test_as_many_updates_as_transitions_ask_for(samples, minimum):
    trainer = make_trainer(samples_per_transition=samples, replay_buffer_minimum_number_samples=minimum)
    (row,) = train(trainer, 1)
    owed = int(row["transitions"] * samples / 8)
    updates = trainer.learner.updates
    if minimum > 100:
        assert updates == 0
    else:
        assert owed - int(16 * samples / 8) - 1 <= updates <= owed
    assert trainer.credit < 8


def test_transitions_lie_in_the_memory_as_they_happened():
    trainer = make_trainer(replay_buffer_minimum_number_samples=10**6)
    trainer.memory = ReplayMemory(400, 4, trainer.env.dtype)
    train(trainer, 1)
    for slot, added in enumerate(trainer.memory.added):
        memory = trainer.memory.memory[slot, :added]
        assert memory["done"][-1]
        for now, then in itertools.pairwise(memory):
            if not now["done"]:  # what follows a transition is where the next one begins
                assert now["next_state"].tobytes() == then["state"].tobytes()
            else:
                assert now["state"]["scene"] != then["state"]["scene"]
        assert (memory["reward"][:, 2] != 0).all()
        assert ((memory["reward"] == 0) == (memory["action"] == -1)).all()

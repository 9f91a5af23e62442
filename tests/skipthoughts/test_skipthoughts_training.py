"""Training skip-thought vectors: corpora, the two decoders, resuming, files, vocabulary expansion."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from limited import run_limited

from files.io import InputError
from skipthoughts import load_encoder, train
from skipthoughts.corpus import read_graphs, read_text
from skipthoughts.skip_model import SkipModel
from skipthoughts.vocabulary_expansion import expanded_dictionary, expanded_table, linear_map, read_word_vectors


def write_text(path, paragraphs):
    path.write_text("\n\n".join("\n".join(paragraph) for paragraph in paragraphs) + "\n", encoding="utf-8")
    return path


def graph_image(number, objects, relationships):
    """An item of a split file. objects: (name, attributes); relationships: (subject, predicate, object) by place."""
    box = {"x": 0, "y": 0, "w": 9, "h": 9}
    return {
        "image_name": f"{number}.jpg",
        "labels": {
            "image_id": number,
            "objects": [
                {"object_id": i, **box, "name": name, "attributes": attributes}
                for i, (name, attributes) in enumerate(objects)
            ],
            "relationships": [
                {"relationship_id": i, "predicate": predicate, "subject_id": subject, "object_id": target}
                for i, (subject, predicate, target) in enumerate(relationships)
            ],
        },
    }


def write_world(path, images=150):
    """Two kinds of scenes: someone rides something; toys lie on furniture."""
    random = np.random.default_rng(0)

    def pick(words):
        return words[random.integers(len(words))]

    items = []
    for number in range(images):
        if number % 2:
            objects = [(pick(["person", "man", "woman"]), [pick(["young", "tall"])])]
            objects += [(pick(["bicycle", "horse", "motorcycle"]), [pick(["fast", "parked"])]), ("helmet", [])]
            relationships = [(0, "riding", 1), (0, "wearing", 2), (2, "above", 1)]
        else:
            objects = [(pick(["ball", "cup", "book"]), [pick(["red", "blue"])])]
            objects += [(pick(["table", "shelf", "chair"]), [pick(["wooden", "white"])]), ("lamp", [])]
            relationships = [(0, "on", 1), (2, "on", 1), (0, "near", 2)]
        items.append(graph_image(number, objects, relationships))
    path.write_text(json.dumps(items))
    return path


@pytest.fixture
def world(tmp_path):
    return write_world(tmp_path / "train_data.json")


SMALL = ["--dim", "16", "--dim_word", "8", "--device", "cpu"]


# --- corpora --------------------------------------------------------------------------------------------------------


def test_a_text_is_paragraphs_of_sentences(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The man's dog.\nIt barks.\n\n\n  \nAlone\n\nA\nB A\nC A", encoding="utf-8")
    corpus = read_text(path)
    assert corpus.words == ["<eos>", "UNK", "A", ".", "The", "man", "'s", "dog", "It", "barks", "Alone", "B", "C"]
    assert [corpus.text(i) for i in range(6)] == ["The man 's dog .", "It barks .", "Alone", "A", "B A", "C A"]
    before, after = corpus.neighbours(np.random.default_rng(0))
    assert before.tolist() == [-1, 0, -1, -1, 3, 4]
    assert after.tolist() == [1, -1, -1, 4, 5, -1]


def test_words_and_targets_of_a_batch(tmp_path):
    corpus = read_text(write_text(tmp_path / "t", [["a b c", "b", "c c"]]))
    names = np.array([*corpus.words, ""])  # -1 is ""
    assert names[corpus.sentences(np.array([1, 0, -1]))].T.tolist() == [["b", "", ""], ["a", "b", "c"], ["", "", ""]]
    targets = names[corpus.targets(np.array([1, -1, 2]))].T.tolist()
    assert targets == [["b", "<eos>", ""], ["", "", ""], ["c", "c", "<eos>"]]
    assert corpus.targets(np.array([-1])).tolist() == [[-1]]


def test_phrases_of_an_image_are_its_paragraph(tmp_path):
    record = graph_image(
        1,
        [("person", ["young", "tall"]), ("bicycle", ["red"]), ("bicycle", ["red"])],
        [(0, "riding", 1), (0, "riding", 2), (0, "near", 2)],
    )
    other = graph_image(2, [("dog", ["big", "wet"])], [])
    (tmp_path / "split.json").write_text(json.dumps([record, other]))
    corpus = read_graphs(tmp_path / "split.json")
    phrases = [
        "young person",
        "tall person",
        "red bicycle",
        "red bicycle",
        "person riding bicycle",
        "person near bicycle",
    ]
    assert [corpus.text(i) for i in range(8)] == [*phrases, "big dog", "wet dog"]
    assert corpus.paragraphs.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    draws = [corpus.neighbours(np.random.default_rng(seed)) for seed in range(20)]
    assert len({tuple(before[:6]) for before, _ in draws}) > 5  # in another order at every epoch
    for before, after in draws:
        # The person's phrases are a chain; the dog's another.
        for chain in ([0, 1, 4, 5], [6, 7]):
            assert sum(before[chain] < 0) == sum(after[chain] < 0) == 1
            assert set(before[chain]) | set(after[chain]) == {-1, *chain}
            assert all(after[before[i]] == i for i in chain if before[i] >= 0)
        # A bicycle has one phrase: its neighbours are any of the image.
        for i in (2, 3):
            assert {before[i], after[i]} != {-1}
            assert {before[i], after[i]} <= {-1, 0, 1, 2, 3, 4, 5} - {i}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b c", "a a", "c b a"]), max_size=6), min_size=1), st.integers(1, 5))
def test_batches_are_all_sentences_with_a_neighbour_by_length(tmp_path_factory, paragraphs, size):
    path = tmp_path_factory.getbasetemp() / "batches.txt"
    corpus = read_text(write_text(path, [*paragraphs, ["a", "b"]]))
    random = np.random.default_rng(0)
    before, after = corpus.neighbours(random)
    batches = corpus.batches(before, after, size, random)
    lengths = np.diff(corpus.starts)
    assert all(0 < len(batch) <= size and len(set(lengths[batch])) == 1 for batch in batches)
    alone = {i for i, paragraph in enumerate(corpus.paragraphs) if (corpus.paragraphs == paragraph).sum() == 1}
    assert sorted(np.concatenate(batches)) == sorted(set(range(len(lengths))) - alone)


# --- the decoders ---------------------------------------------------------------------------------------------------


def test_the_cost_is_that_of_the_papers_equations():
    model = SkipModel(words=7, dim_word=3, dim=4, both_directions=False, generator=torch.Generator().manual_seed(0))
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    p = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    embed = p["word_vectors.weight"]
    words, before, after = [2, 5, 3], [4, 6, 0], [3, 0]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def step(prefix, x, state, vector):
        """One step; the columns of W beyond the word's are the matrices C."""
        w, u, b = (p[f"{prefix}.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih"))
        wr, wu, wc = np.split(w[:, :3], 3)
        cr, cu, cc = np.split(w[:, 3:], 3) if vector is not None else (np.zeros((4, 1)),) * 3
        ur, uu, uc = np.split(u, 3)
        br, bu, bc = np.split(b, 3)
        h = np.zeros(1) if vector is None else vector
        r = sigmoid(wr @ x + ur @ state + cr @ h + br)
        z = sigmoid(wu @ x + uu @ state + cu @ h + bu)
        c = np.tanh(wc @ x + r * (uc @ state) + cc @ h + bc)
        return z * state + (1 - z) * c

    vector = np.zeros(4)
    for word in words:
        vector = step("sentence_encoder.encoder", embed[word], vector, None)
    expected = 0.0
    for prefix, sentence in (("before", before), ("after", after)):
        state, previous = np.zeros(4), np.zeros(3)
        for word in sentence:
            state = step(prefix, previous, state, vector)
            scores = p["output.weight"] @ state + p["output.bias"]
            expected -= scores[word] - np.log(np.exp(scores).sum())
            previous = embed[word]

    def column(*numbers):
        return torch.tensor(numbers)[:, None]

    cost, count = model(column(*words), column(*before), column(*after, -1))
    assert count == 5
    assert cost.item() == pytest.approx(expected, rel=1e-5)
    # In a batch with another sentence that has no sentence before: the costs add up.
    other, _ = model(column(1, 1, 1), column(-1), column(2, 2, 0))
    pair, count = model(
        torch.tensor([words, [1, 1, 1]]).T,
        torch.tensor([before, [-1, -1, -1]]).T,
        torch.tensor([[*after, -1], [2, 2, 0]]).T,
    )
    assert count == 8
    assert pair.item() == pytest.approx(cost.item() + other.item(), rel=1e-5)


def test_the_second_bias_of_torch_stays_zero(tmp_path, world):
    corpus = read_graphs(world)
    setting = train.Settings(dim=8, dim_word=4, batch_size=32, learning_rate=0.01, seed=0)
    model = train.train(corpus, "bi", setting, 1, tmp_path / "c.pt", False, torch.device("cpu"))
    biases = [value for name, value in model.named_parameters() if "bias_hh" in name]
    assert len(biases) == 4
    assert not any(bias.any() for bias in biases)


# --- your own model -------------------------------------------------------------------------------------------


def distance(encoder, one, other):
    """1 - cosine."""
    a, b = encoder.encode([one, other]).astype(np.float64)
    return 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_it_learns_what_phrases_are_alike_and_the_encoder_loads_it(tmp_path, world, capsys):
    quick = ["--batch_size", "16", "--learning_rate", "0.01", "--num_epochs", "4"]
    assert train.main(["--from_graphs", str(world), "--output", str(tmp_path / "model"), *SMALL, *quick]) == 0
    said = capsys.readouterr().out
    assert "bi-skip, epoch 4/4" in said
    assert f"The skip-thought model is in {tmp_path / 'model'}" in said
    names = {path.name for path in (tmp_path / "model").iterdir()}
    original = {"dictionary.txt", "utable.npy", "btable.npy", "uni_skip.npz", "uni_skip.npz.pkl"}
    assert original | {"bi_skip.npz", "bi_skip.npz.pkl"} <= names
    for name, dimension in (("uni", 16), ("bi", 16), ("combine", 32)):
        encoder = load_encoder(tmp_path / "model", name)
        assert encoder.dimension == dimension
        alike = distance(encoder, "person riding bicycle", "man riding horse")
        assert alike < distance(encoder, "person riding bicycle", "red ball on table") / 2
        # Also with a word that it has never seen.
        alike = distance(encoder, "child riding bicycle", "man riding horse")
        assert alike < distance(encoder, "child riding bicycle", "red ball on table") / 2
        # Not only because of a word in common.
        alike = distance(encoder, "young man", "tall woman")
        assert alike < distance(encoder, "young man", "blue ball") / 2


def test_a_model_written_and_read_gives_the_vectors_of_training(tmp_path, world):
    corpus = read_graphs(world)
    setting = train.Settings(dim=8, dim_word=4, batch_size=32, learning_rate=0.01, seed=0)
    models = {
        name: train.train(corpus, name, setting, 1, tmp_path / f"{name}.pt", False, torch.device("cpu"))
        for name in ("uni", "bi")
    }
    train.write_model(tmp_path, corpus, models, None)
    phrase = "person riding bicycle"
    words = torch.tensor([[corpus.words.index(word)] for word in phrase.split()])
    for name, model in models.items():
        with torch.no_grad():
            vector = model.sentence_encoder(model.word_vectors(words))[0].numpy()
        expected = vector / np.linalg.norm(vector)
        np.testing.assert_allclose(load_encoder(tmp_path, name).encode([phrase])[0], expected, atol=1e-6)


def model_files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith(".pt")}


def test_resuming_gives_the_same_model_as_not_stopping(tmp_path, world, monkeypatch):
    def run(output, *more):
        return train.main(["--from_graphs", str(world), "--output", str(tmp_path / output), *SMALL, *more])

    run("whole", "--num_epochs", "3")
    run("parts", "--num_epochs", "1")
    # Killed in the middle of bi-skip's second epoch, some updates after a checkpoint.
    monkeypatch.setattr(train, "_SAVE_EVERY", 4)
    update, count = train._update, [0]

    def update_and_die(model, *arguments):
        count[0] += model.sentence_encoder.encoder_r is not None
        if count[0] == 7:
            raise KeyboardInterrupt
        return update(model, *arguments)

    monkeypatch.setattr(train, "_update", update_and_die)
    assert run("parts", "--num_epochs", "3", "--resume") == 130  # as Ctrl-C ends it
    monkeypatch.setattr(train, "_update", update)
    assert run("parts", "--num_epochs", "3", "--resume") == 0
    assert model_files(tmp_path / "parts") == model_files(tmp_path / "whole")


def test_resuming_from_something_else_is_refused(tmp_path, world, capsys):
    arguments = ["--from_graphs", str(world), "--output", str(tmp_path / "m"), *SMALL, "--num_epochs", "1"]
    assert train.main([*arguments, "--model", "uni"]) == 0
    assert train.main([*arguments, "--model", "uni", "--resume", "--learning_rate", "0.5"]) == 2
    assert "train without --resume" in capsys.readouterr().err
    checkpoint = tmp_path / "m" / "uni_checkpoint.pt"
    right = torch.load(checkpoint, weights_only=True)
    for change in ({"epoch": -1}, {"batch": 0.5}, {"optimizer": {"state": {0: {"step": torch.ones(3)}}}}):
        torch.save(right | change, checkpoint)
        assert train.main([*arguments, "--model", "uni", "--resume"]) == 2
        assert "uni_checkpoint.pt: does not hold what it should" in capsys.readouterr().err
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    assert train.main([*arguments, "--model", "uni", "--resume"]) == 2
    assert "uni_checkpoint.pt: is not a checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--text", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--from_graphs", "nowhere.json"], "nowhere.json"),
        (["--text", "alone.txt"], "no paragraph of two sentences"),
        (["--text", "empty.txt"], "no paragraph of two sentences"),
        (["--text", "latin1.txt"], "not UTF-8"),
        (["--from_graphs", "alone.txt"], "alone.txt"),
        (["--text", "good.txt", "--dim", "15"], "must be even"),
        (["--text", "good.txt", "--dim_word", "0"], "--dim_word is 0"),
        (["--text", "good.txt", "--learning_rate", "nan"], "--learning_rate is nan"),
        (["--text", "good.txt", "--expand_with", "nowhere.vec"], "nowhere.vec"),
        (["--text", "good.txt", "--expand_with", "ragged.vec"], "ragged.vec: is not a list of word vectors: line 2"),
        (["--text", "good.txt", "--expand_with", "foreign.vec", "--num_epochs", "1"], "no word in common"),
    ],
)
def test_bad_input_is_reported_in_one_line(tmp_path, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    write_text(Path("good.txt"), [["a b", "c d"]])
    Path("alone.txt").write_text("one\n\ntwo\n")
    Path("empty.txt").write_text("")
    Path("latin1.txt").write_bytes(b"caf\xe9\nb\n")
    Path("ragged.vec").write_text("a 1 2 3\nb 1 2\n")
    Path("foreign.vec").write_text("x 1 2\ny 1 2\n")
    assert train.main(["--output", "model", "--device", "cpu", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command(tmp_path):
    text = write_text(tmp_path / "text.txt", [["the man rides.", "he wears a hat.", "the hat is red."]] * 4)
    done = run_limited(["-m", "skipthoughts.train", "--text", text, "--output", tmp_path / "m", *SMALL], tmp_path)
    assert done.status == 0, done
    assert "nats a word" in done.out
    assert load_encoder(tmp_path / "m").encode(["the man wears a red hat."]).shape == (1, 32)


# --- vocabulary expansion -------------------------------------------------------------------------------------------


def test_the_map_recovers_a_linear_relation():
    random = np.random.default_rng(0)
    matrix, other = random.normal(size=(4, 6)), random.normal(size=(20, 4))
    np.testing.assert_allclose(linear_map(other, other @ matrix), matrix, atol=1e-5)
    # Two words a -> 2, b -> 4 with other vectors 1 and 3: the least-squares slope is (1*2 + 3*4) / (1 + 9).
    np.testing.assert_allclose(linear_map(np.array([[1.0], [3.0]]), np.array([[2.0], [4.0]])), [[1.4]])


def test_unseen_words_get_the_mapped_vectors():
    random = np.random.default_rng(0)
    words, other_words = ["<eos>", "UNK", "a", "b", "c"], ["c", "x", "a", "b", "y"]
    matrix, other = random.normal(size=(2, 3)), random.normal(size=(5, 2))
    table = random.normal(size=(5, 3))
    table[[4, 2, 3]] = other[[0, 2, 3]] @ matrix
    assert expanded_dictionary(words, other_words) == [*words, "x", "y"]
    expected = np.concatenate([table, other[[1, 4]] @ matrix])
    np.testing.assert_allclose(expanded_table(words, table, other_words, other), expected, atol=1e-5)


def test_word_vectors_are_read_from_every_layout(tmp_path):
    words, vectors = ["café", "x"], np.array([[1, 2.5, -3], [0, 1e-3, 4]], np.float32)
    (tmp_path / "glove.txt").write_text("café 1 2.5 -3\nNew_York 1 1 1\nx 0 1e-3 4\nx 9 9 9\n", encoding="utf-8")
    (tmp_path / "word2vec.txt").write_text("2 3\ncafé 1 2.5 -3 \nx 0 1e-3 4 \n", encoding="utf-8")
    np.save(tmp_path / "array.npy", vectors)
    (tmp_path / "array.txt").write_text("café\nx\n", encoding="utf-8")
    for name in ("glove.txt", "word2vec.txt", "array.npy"):
        read_words, read_vectors = read_word_vectors(tmp_path / name)
        assert read_words == words
        assert np.array_equal(read_vectors, vectors)
    (tmp_path / "blank.txt").write_text("a 1 2\n. . 3 4\n")
    assert read_word_vectors(tmp_path / "blank.txt")[0] == ["a", ". ."]
    (tmp_path / "array.txt").write_text("café\n")
    with pytest.raises(InputError, match=r"array\.npy.*1 words"):
        read_word_vectors(tmp_path / "array.npy")
    (tmp_path / "array.txt").unlink()
    with pytest.raises(InputError, match=r"array\.txt: no such file"):
        read_word_vectors(tmp_path / "array.npy")


def test_training_with_expansion_knows_words_it_has_not_seen(tmp_path, world):
    # A pony's other vector is that of a horse: so must be its vector in a phrase.
    random = np.random.default_rng(0)
    words = read_graphs(world).words[2:]
    vectors = {word: random.normal(size=6) for word in words}
    vectors["pony"] = vectors["horse"]
    lines = [f"{word} {' '.join(map(str, vector))}" for word, vector in vectors.items()]
    (tmp_path / "other.vec").write_text("\n".join(lines))
    arguments = ["--from_graphs", str(world), "--output", str(tmp_path / "m"), *SMALL, "--num_epochs", "3"]
    assert train.main([*arguments, "--expand_with", str(tmp_path / "other.vec")]) == 0
    encoder = load_encoder(tmp_path / "m")
    known, unseen = encoder._numbers["horse"], encoder._numbers["pony"]
    assert unseen == len(encoder._numbers) - 1
    table = encoder._parts[0].table.rows(np.array([known, unseen, encoder._unknown]))
    assert np.linalg.norm(table[1] - table[2]) > 0
    assert not np.array_equal(encoder.encode(["man riding pony"]), encoder.encode(["man riding zebra"]))

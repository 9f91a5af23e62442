"""The skip-thought encoder against its equations, its files, and the store of phrases."""

import io
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from files.io import InputError, file_stamp
from skipthoughts import PhraseStore, load_encoder, weights
from skipthoughts.tables import open_table
from skipthoughts.tokenizer import tokenize

WORDS = ["<eos>", "UNK", "person", "man", "riding", "bicycle", "horse", "red", "ball", "on", "table", "café", "日本"]
DIM_WORD, DIM = 5, 8


def random_parameters(directions, dim, seed):
    random = np.random.default_rng(seed)
    shapes = {
        "W": (DIM_WORD, 2 * dim),
        "b": (2 * dim,),
        "U": (dim, 2 * dim),
        "Wx": (DIM_WORD, dim),
        "bx": (dim,),
        "Ux": (dim, dim),
    }
    return {
        f"{prefix}_{name}": random.normal(0, 0.7, shape).astype(np.float32)
        for prefix in directions
        for name, shape in shapes.items()
    }


def write_model(directory, words=WORDS):
    """A small model in the original layout; its tables and parameters."""
    random = np.random.default_rng(0)
    weights.write_dictionary(directory, words)
    model = {}
    for name, directions, dim in (("uni", ["encoder"], DIM), ("bi", ["encoder", "encoder_r"], DIM // 2)):
        table = random.normal(0, 1, (len(words), DIM_WORD)).astype(np.float32)
        parameters = random_parameters(directions, dim, seed=dim)
        weights.write_table(directory, name, table)
        # The published files hold the decoders too, and options of many kinds.
        extra = {"Wemb": np.ones((3, DIM_WORD), np.float32), "decoder_f_U": np.ones((2, 2), np.float32)}
        options = {"dim": dim, "dim_word": DIM_WORD, "encoder": "gru", "decay_c": 0.0, "valid": None, "sizes": (1, 2)}
        weights.write_parameters(directory, name, parameters | extra, options)
        model[name] = table, parameters
    return model


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference_state(parameters, prefix, vectors):
    """The equations of DESIGN.md section 6, word by word, in float64."""
    p = {name: parameters[f"{prefix}_{name}"].astype(np.float64) for name in ("W", "b", "U", "Wx", "bx", "Ux")}
    dim = len(p["Ux"])
    h = np.zeros(dim)
    for x in vectors.astype(np.float64):
        gates = sigmoid(x @ p["W"] + p["b"] + h @ p["U"])
        r, u = gates[:dim], gates[dim:]
        candidate = np.tanh(x @ p["Wx"] + p["bx"] + r * (h @ p["Ux"]))
        h = u * h + (1 - u) * candidate
    return h


def reference(model, words, name):
    if name == "combine":
        return np.concatenate([reference(model, words, "uni"), reference(model, words, "bi")])
    table, parameters = model[name]
    vectors = table[[WORDS.index(word) if word in WORDS else WORDS.index("UNK") for word in words]]
    state = reference_state(parameters, "encoder", vectors)
    if name == "bi":
        state = np.concatenate([state, reference_state(parameters, "encoder_r", vectors[::-1])])
    return state / np.linalg.norm(state)


PHRASES = ["person riding bicycle", "man", "red ball on table", "café", "", "man riding zebra", "日本 person", " \t "]


@pytest.mark.parametrize(("name", "dimension"), [("uni", 8), ("bi", 8), ("combine", 16)])
def test_vectors_are_those_of_the_equations(tmp_path, model, name, dimension):
    encoder = load_encoder(tmp_path, name)
    vectors = encoder.encode(PHRASES)
    assert encoder.dimension == dimension
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(PHRASES), dimension)
    for phrase, vector in zip(PHRASES, vectors, strict=True):
        expected = reference(model, phrase.split(), name) if phrase.split() else np.zeros(dimension)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_a_phrase_as_long_as_a_book_chapter(tmp_path, model):
    words = [WORDS[2 + i % 9] for i in range(700)]  # more than one piece of the recurrence
    np.testing.assert_allclose(
        load_encoder(tmp_path).encode([" ".join(words)])[0], reference(model, words, "combine"), atol=1e-5
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*WORDS, "unheard-of"]), max_size=9).map(" ".join), max_size=40))
def test_a_batch_is_its_phrases_one_by_one(tmp_path_factory, phrases):
    directory = tmp_path_factory.getbasetemp() / "shared_model"
    if not directory.exists():
        directory.mkdir()
        write_model(directory)
    encoder = load_encoder(directory)
    singly = [encoder.encode([phrase]) for phrase in phrases]
    np.testing.assert_allclose(encoder.encode(phrases), np.concatenate([*singly, np.zeros((0, 16))]), atol=1e-6)


def test_no_phrases(tmp_path, model):
    assert load_encoder(tmp_path).encode([]).shape == (0, 16)


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("person riding bicycle", "person riding bicycle"),
        ("the man's dogs' bowls", "the man 's dogs ' bowls"),
        ("I can't, you cannot.", "I ca n't , you can not ."),
        ("we'll, they're, I've, she'd", "we 'll , they 're , I 've , she 'd"),
        ('He said "hello" ("twice").', "He said `` hello '' ( `` twice '' ) ."),
        ("e.g. the U.S. costs $3,000 at 5:30...", "e.g. the U.S. costs $ 3,000 at 5:30 ..."),
        ("black-and-white t-shirt -- 50% off!", "black-and-white t-shirt -- 50 % off !"),
        ("gonna Gimme wanna gotta 'tis", "gon na Gim me wan na got ta 't is"),
        ("naïve café 日本 \N{SNOWMAN}", "naïve café 日本 \N{SNOWMAN}"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_tokens_are_the_penn_treebanks(text, tokens):
    assert tokenize(text) == tokens.split()


@given(st.text())
def test_any_text_has_tokens(text):
    assert all(token and not any(character.isspace() for character in token) for token in tokenize(text))


# --- files ----------------------------------------------------------------------------------------------------------


def test_missing_files_are_named_with_where_to_get_them(tmp_path):
    write_model(tmp_path)
    (tmp_path / "btable.npy").unlink()
    (tmp_path / "uni_skip.npz.pkl").unlink()
    with pytest.raises(InputError, match=r"uni_skip\.npz\.pkl, btable\.npy.*data/download\.py skipthoughts"):
        load_encoder(tmp_path)
    with pytest.raises(InputError, match=r"utable.npy.*skipthoughts"):
        load_encoder(tmp_path / "nowhere", "uni")


def test_uni_skip_needs_no_file_of_bi_skip(tmp_path, model):
    for name in ("btable.npy", "bi_skip.npz", "bi_skip.npz.pkl"):
        (tmp_path / name).unlink()
    assert load_encoder(tmp_path, "uni").dimension == 8


@pytest.mark.parametrize("name", ["uni_skip.npz", "uni_skip.npz.pkl", "utable.npy"])
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "folder"])
def test_damaged_files_are_reported_in_one_line(tmp_path, model, name, damage):
    path = tmp_path / name
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "half": data[: len(data) // 2], "noise": b"\x80\x02noise" * 20}[damage])
    with pytest.raises(InputError, match=name) as caught:
        load_encoder(tmp_path, "uni")
    assert "\n" not in str(caught.value)


def test_files_of_different_models_are_refused(tmp_path, model):
    weights.write_table(tmp_path, "uni", np.zeros((3, DIM_WORD)))
    with pytest.raises(InputError, match=r"utable\.npy.*different models"):
        load_encoder(tmp_path, "uni")
    weights.write_parameters(tmp_path, "bi", model["uni"][1], {"dim": DIM // 2, "dim_word": DIM_WORD})
    with pytest.raises(InputError, match=r"bi_skip\.npz.*"):
        load_encoder(tmp_path, "bi")
    (tmp_path / "dictionary.txt").write_text("person\nman\n")
    with pytest.raises(InputError, match=r"dictionary\.txt.*UNK"):
        load_encoder(tmp_path, "uni")


def test_options_of_python_2_are_read(tmp_path, model):
    # What Python 2's cPickle writes, protocol 0: byte strings, also one that is not ASCII.
    text = (
        b"(dp1\nS'dim'\np2\nI8\nsS'dim_word'\np3\nI5\nsS'saveto'\np4\nS'/caf\\xe9/uni'\np5\nsS'decay_c'\np6\nF0.0\ns."
    )
    (tmp_path / "uni_skip.npz.pkl").write_bytes(text)
    assert load_encoder(tmp_path, "uni").dimension == 8


class Command:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def test_pickles_that_run_code_are_refused(tmp_path, model):
    (tmp_path / "uni_skip.npz.pkl").write_bytes(pickle.dumps({"dim": Command()}))
    with pytest.raises(InputError, match="system"):
        load_encoder(tmp_path, "uni")
    table = np.empty(2, object)
    table[:] = [Command(), Command()]
    np.save(tmp_path / "table.npy", table, allow_pickle=True)
    with pytest.raises(InputError, match="system"):
        open_table(tmp_path / "table.npy")
    np.savez(tmp_path / "uni_skip.npz", encoder_W=table)
    weights.write_parameters(tmp_path, "uni", {}, {"dim": DIM, "dim_word": DIM_WORD})
    np.savez(tmp_path / "uni_skip.npz", encoder_W=table)
    with pytest.raises(InputError, match=r"uni_skip\.npz"):
        load_encoder(tmp_path, "uni")


# --- word tables ----------------------------------------------------------------------------------------------------


def read_table(path):
    table = open_table(path)
    return table.rows(np.arange(table.shape[0]))


def python_2_table(rows):
    """The bytes that numpy.save of Python 2 writes for an object array of float32 arrays (protocol 2)."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": (len(rows),)})

    def integer(value):
        return b"J" + struct.pack("<i", value)

    def string(value):
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def array(shape, dtype, data):
        numbers = b"(" + b"".join(integer(side) for side in shape) + b"t"
        fresh = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string(b"b") + b"tR"
        return fresh + b"(" + integer(1) + numbers + dtype + b"\x89" + data + b"tb"

    def dtype(code, order, flags):
        made = b"cnumpy\ndtype\n(" + string(code) + b"K\x00K\x01tR"
        return made + b"(K\x03" + string(order) + b"NNN" + integer(-1) + integer(-1) + integer(flags) + b"tb"

    items = b"".join(array(row.shape, dtype(b"f4", b"<", 0), string(row.astype("<f4").tobytes())) for row in rows)
    out.write(b"\x80\x02" + array((len(rows),), dtype(b"O8", b"|", 63), b"](" + items + b"e") + b".")
    return out.getvalue()


def published_rows(table):
    """The published tables: words of the vocabulary expansion are (1, 620), the model's own (620,)."""
    return [row[None] if i % 3 else row for i, row in enumerate(table)]


def test_tables_of_python_2_are_converted_once(tmp_path, model):
    expected = load_encoder(tmp_path).encode(PHRASES)
    identity = load_encoder(tmp_path).identity
    data = python_2_table(published_rows(model["uni"][0]))
    assert np.array_equal(  # our bytes are what NumPy itself takes for such a table
        np.concatenate([row.ravel() for row in np.load(io.BytesIO(data), allow_pickle=True, encoding="latin1")]),
        model["uni"][0].ravel(),
    )
    path = tmp_path / "utable.npy"
    path.write_bytes(data)
    encoder = load_encoder(tmp_path)
    assert np.array_equal(encoder.encode(PHRASES), expected)
    assert encoder.identity == identity
    (plain,) = tmp_path.glob("utable.*.plain.npy")
    assert np.array_equal(np.load(plain), model["uni"][0])
    first = plain.stat()
    open_table(path)
    assert plain.stat().st_ino == first.st_ino  # not made again
    before = path.stat()
    path.write_bytes(python_2_table(published_rows(model["uni"][0] + 1)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # another table, of the same size and time
    assert np.array_equal(read_table(path), model["uni"][0] + 1)
    assert len(list(tmp_path.glob("*.plain.npy"))) == 1


def test_object_tables_of_python_3(tmp_path, model):
    table = model["uni"][0]
    rows = np.empty(len(table), object)
    rows[:] = published_rows(table)
    for number, array in enumerate((rows, table.astype(object))):
        np.save(tmp_path / f"{number}.npy", array, allow_pickle=True)
        assert np.array_equal(read_table(tmp_path / f"{number}.npy"), table)


def test_object_table_in_a_folder_that_cannot_be_written(tmp_path, model, monkeypatch, capsys):
    path = tmp_path / "utable.npy"
    path.write_bytes(python_2_table(published_rows(model["uni"][0])))
    stamp = file_stamp(path).hex()[:12]
    (tmp_path / f"utable.{stamp}.plain.npy").mkdir()  # is in the way (a test may run as root, whom no mode stops)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert np.array_equal(read_table(path), model["uni"][0])
    assert "utable.npy is converted again" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2", ">f4"])
def test_plain_tables_of_any_float(tmp_path, dtype):
    table = np.arange(12, dtype=dtype).reshape(3, 4)
    np.save(tmp_path / "t.npy", table)
    assert np.array_equal(read_table(tmp_path / "t.npy"), table)


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((2, 2), int), np.zeros((0, 4)), np.array(["a"]), np.zeros((2, 3), order="F")]
)
def test_arrays_that_are_no_table(tmp_path, array):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(InputError, match=r"t\.npy"):
        open_table(tmp_path / "t.npy")


def test_object_tables_that_are_no_table(tmp_path):
    for number, rows in enumerate(
        ([np.zeros(3), np.zeros(4)], [np.zeros(3), "word"], [{}, []], [np.zeros(2, int)] * 2)
    ):
        array = np.empty(len(rows), object)
        array[:] = rows
        np.save(tmp_path / f"{number}.npy", array, allow_pickle=True)
        with pytest.raises(InputError, match="not a pickled table"):
            open_table(tmp_path / f"{number}.npy")
    assert not list(tmp_path.glob("*plain*"))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_table_with_a_number_that_is_none(tmp_path, model, wrong):
    table = model["uni"][0].copy()
    table[WORDS.index("horse"), 2] = wrong
    weights.write_table(tmp_path, "uni", table)
    encoder = load_encoder(tmp_path, "uni")
    encoder.encode(["man"])
    with pytest.raises(InputError, match=r"utable\.npy: the number at .* is (nan|inf)"):
        encoder.encode(["man riding horse"])


# --- phrases --------------------------------------------------------------------------------------------------------


class CountingEncoder:
    """A real encoder that remembers what it was asked."""

    def __init__(self, encoder):
        self.encoder, self.asked = encoder, []
        self.dimension, self.identity = encoder.dimension, encoder.identity

    def encode(self, phrases):
        self.asked.append(list(phrases))
        return self.encoder.encode(phrases)


@pytest.fixture
def encoder(tmp_path, model):
    return CountingEncoder(load_encoder(tmp_path))


def test_phrases_are_numbered_in_order_and_encoded_once(encoder):
    store = PhraseStore(encoder)
    numbers = store.number(["man riding horse", "", "red ball", "man riding horse"])
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [1, 0, 2, 1]
    assert store.number(["red ball", "person", ""]).tolist() == [2, 3, 0]
    assert store.number([]).tolist() == []
    assert encoder.asked == [["man riding horse", "red ball"], ["person"]]
    assert store.phrases == ["", "man riding horse", "red ball", "person"]
    assert store.vectors.dtype == np.float32
    assert not store.vectors[0].any()
    np.testing.assert_allclose(store.vectors, encoder.encoder.encode(store.phrases), atol=1e-6)


def test_many_phrases(encoder):
    store = PhraseStore(encoder)
    phrases = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS[:3]]
    assert store.number(phrases).tolist() == list(range(1, len(phrases) + 1))
    np.testing.assert_allclose(store.vectors[1:], encoder.encoder.encode(phrases), atol=1e-6)


def test_a_vector_does_not_depend_on_its_company(tmp_path, model):
    """Alone, with few or with many, first or last: the same to the last bit."""
    encoder = load_encoder(tmp_path)
    random = np.random.default_rng(0)
    phrases = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(150)]
    vectors = encoder.encode(phrases)
    for count in (1, 2, 5, 40, 150):
        chosen = random.permutation(len(phrases))[:count]
        assert np.array_equal(encoder.encode([phrases[i] for i in chosen]), vectors[chosen])


def test_the_cache_keeps_vectors_across_runs(tmp_path, encoder):
    cache = tmp_path / "cache" / "phrases"
    odd = ["", "日本", "nul\0 inside", "\ud800 alone", "red ball"]
    first = PhraseStore(encoder, cache)
    first.number(odd)
    first.save()
    encoder.asked.clear()
    second = PhraseStore(encoder, cache)
    # Numbers follow the order asked in this run, whatever the cache holds.
    assert second.number(["red ball", "horse", *odd]).tolist() == [1, 2, 0, 3, 4, 5, 1]
    assert encoder.asked == [["horse"]]
    assert np.array_equal(second.vectors[1], first.vectors[4])
    second.save()
    assert PhraseStore(encoder, cache).number(["horse", *odd]).max() == 5
    assert encoder.asked == [["horse"]]


def test_it_saves_by_itself(tmp_path, encoder):
    store = PhraseStore(encoder, tmp_path)
    for i in range(300):
        store.number([f"phrase {i}"])
    encoder.asked.clear()
    PhraseStore(encoder, tmp_path).number([f"phrase {i}" for i in range(256)])
    assert not encoder.asked


def test_two_runs_share_a_cache(tmp_path, encoder):
    one, other = PhraseStore(encoder, tmp_path), PhraseStore(encoder, tmp_path)
    one.number(["man", "horse"])
    other.number(["ball", "man"])
    one.save()
    other.save()
    one.number(["table"])
    one.save()
    encoder.asked.clear()
    PhraseStore(encoder, tmp_path).number(["man", "horse", "ball", "table"])
    assert not encoder.asked


@pytest.mark.parametrize("damage", ["cut", "text", "a bit"])
def test_a_damaged_cache_is_made_again_with_a_message(tmp_path, encoder, damage, capsys):
    store = PhraseStore(encoder, tmp_path / "phrases")
    store.number(["man", "horse"])
    store.save()
    vectors = store.vectors.copy()
    (path,) = (tmp_path / "phrases").iterdir()
    data = bytearray(path.read_bytes())
    vector = vectors[1].tobytes()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "text":
        data = b"not SQLite" * 1000
    else:
        data[data.index(vector) + 1] ^= 255
    path.write_bytes(data)
    again = PhraseStore(encoder, tmp_path / "phrases")
    again.number(["horse", "man"])
    assert "damaged" in capsys.readouterr().err
    assert np.array_equal(again.vectors[1:], vectors[[2, 1]])
    again.save()
    encoder.asked.clear()
    PhraseStore(encoder, tmp_path / "phrases").number(["man", "horse"])
    assert not encoder.asked


def test_models_have_a_cache_each(tmp_path, encoder):
    store = PhraseStore(encoder, tmp_path / "phrases")
    store.number(["man"])
    store.save()
    uni = load_encoder(tmp_path, "uni")
    assert uni.identity != encoder.identity
    other = PhraseStore(uni, tmp_path / "phrases")
    other.number(["man"])
    other.save()
    assert np.array_equal(other.vectors[1:], uni.encode(["man"]))
    assert len(list((tmp_path / "phrases").iterdir())) == 2


def test_a_cache_that_cannot_be_written_does_not_end_the_run(tmp_path, encoder, capsys):
    (tmp_path / "file").write_text("in the way")
    store = PhraseStore(encoder, tmp_path / "file")
    store.number(["man"])
    store.save()
    assert "not kept" in capsys.readouterr().err
    assert store.number(["man", "horse"]).tolist() == [1, 2]

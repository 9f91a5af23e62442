"""Pickles of plain data: what is written comes back, code is refused, a few bytes stay a few bytes."""

import pickle
import resource
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from files.io import InputError
from files.pickles import read_plain_pickle, write_plain_pickle

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_of_any_protocol_comes_back(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "plain.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    if protocol < 3 and (b"_codecs" in path.read_bytes() or b"__builtin__" in path.read_bytes()):
        return  # how bytes were written: by a function
    assert read_plain_pickle(path) == value


def test_one_value_has_one_file(tmp_path):
    for name in "ab":
        write_plain_pickle(tmp_path / name, {"b": [1, 2.5, "x"], "a": None})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def shared(depth, kind):
    value = kind([1, 2])
    for _ in range(depth):
        value = kind([value, value])
    return value


def holds_itself():
    value = {}
    value["a"] = [value]
    return value


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(shared(40, list)),
        pickle.dumps(shared(40, tuple)),
        pickle.dumps({"a": shared(40, list)}),
        pickle.dumps(holds_itself()),
        pickle.dumps({1, 2}),
        pickle.dumps({frozenset({1}): 2}),
        b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",  # lists within lists
        b"\x80\x02}" + b"))" + b"\x86q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.",  # hashed 2**60 times
        b"\x80\x05\x96\xff\xff\xff\xff\x01\x00\x00\x00.",  # a bytearray of 8 GB
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\x00\x00x.",  # text of 280 TB
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02P1\n.",
        b"\x82\x01.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"",
        b"text",
    ],
)
def test_what_bites_is_one_line_at_once(tmp_path, data):
    (tmp_path / "x.pickle").write_bytes(data)
    started = time.process_time()
    with pytest.raises(
        InputError, match=r"x\.pickle: is not a pickle of plain data \(.+\); it was not loaded"
    ) as error:
        read_plain_pickle(tmp_path / "x.pickle")
    assert "\n" not in str(error.value)
    assert time.process_time() - started < 5


def test_a_list_that_comes_twice_is_no_bomb(tmp_path):
    row = list(range(100))
    write_plain_pickle(tmp_path / "x.pickle", {"a": row, "b": row})
    assert read_plain_pickle(tmp_path / "x.pickle") == {"a": row, "b": row}


@pytest.mark.parametrize("code", [b"r\xff\xff\xff\x7f.", b"\x95\xff\xff\xff\xff\xff\xff\xff\x00."])
def test_what_is_announced_is_not_allocated(tmp_path, code):
    """The place 2**31 of the memo, which the unpickler in C makes as long; a frame of 72 PB."""
    (tmp_path / "x.pickle").write_bytes(b"\x80\x04N" + code)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_plain_pickle(tmp_path / "x.pickle") is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB

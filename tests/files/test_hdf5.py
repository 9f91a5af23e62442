"""HDF5 of strangers: what is fair comes back, what announces, unpacks to or refers to too much is one line, at once."""

import resource
import struct
import time
import zlib

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from files.hdf5 import hdf5_dataset, open_hdf5, read_hdf5, read_hdf5_attribute
from files.hdf5_text import longest_text, longest_text_of_attribute
from files.io import InputError


def hdf5(path, **contents):
    with h5py.File(path, "w") as file:
        for name, make in contents.items():
            make(file, name)
    return path


NOISE = np.random.default_rng(0).random(100_000, np.float32)


def test_small_pieces_of_hdf5_come_back(tmp_path):
    path = hdf5(
        tmp_path / "x.h5",
        numbers=lambda file, name: file.create_dataset(name, data=np.arange(6).reshape(2, 3)),
        packed=lambda file, name: file.create_dataset(name, data=np.zeros(50_000, np.float32), compression="gzip"),
        lzf=lambda file, name: file.create_dataset(name, data=NOISE, compression="lzf", fletcher32=True),
        large=lambda file, name: file.create_dataset(
            name, data=NOISE, compression="gzip", shuffle=True, fletcher32=True, chunks=NOISE.shape
        ),
        words=lambda file, name: file.create_dataset(name, data=["a", "ü"], dtype=h5py.string_dtype()),
        fixed=lambda file, name: file.create_dataset(name, data=np.array([b"a", b"bc"])),
        none=lambda file, name: file.create_dataset(name, (0,), np.int32, maxshape=(None,)),
    )
    with open_hdf5(path) as file:
        assert read_hdf5(file, "numbers", path, "iu", 2).tolist() == [[0, 1, 2], [3, 4, 5]]
        assert read_hdf5(file, "packed", path, "f").sum() == 0
        np.testing.assert_array_equal(read_hdf5(file, "lzf", path, "f"), NOISE)
        np.testing.assert_array_equal(read_hdf5(file, "large", path, "f"), NOISE)
        assert read_hdf5(file, "words", path, "text", 1) == ["a", "ü"]
        assert read_hdf5(file, "fixed", path, "text") == ["a", "bc"]
        assert len(read_hdf5(file, "none", path, "i")) == 0


def packed_pieces(file, name, shape, dtype, chunk, filters, pieces):
    """A dataset whose pieces are stored as they are given: {offset: bytes}."""
    about = h5p.create(h5p.DATASET_CREATE)
    about.set_chunk(chunk)
    for set_filter, *values in filters:
        getattr(about, set_filter)(*values)
    kind = h5t.py_create(dtype, logical=True)
    dataset = h5d.create(file.id, name.encode(), kind, h5s.create_simple(shape), about)
    for offset, data in pieces.items():
        dataset.write_direct_chunk(offset, data)


def shrunk_zeros(megabytes):
    packer = zlib.compressobj(9)
    return b"".join([packer.compress(bytes(2**20)) for _ in range(megabytes)] + [packer.flush()])


def a_piece_larger_than_it_is(file, name):
    packed_pieces(file, name, (3,), np.dtype("f4"), (3,), [("set_deflate", 9)], {(0,): shrunk_zeros(2)})


def a_piece_that_grows(file, name):
    """300 KB that are to be 400 KB of numbers, and unpack to 300 MB."""
    shape = (100_000,)
    packed_pieces(file, name, shape, np.dtype("f4"), shape, [("set_deflate", 9)], {(0,): shrunk_zeros(300)})


def packed_twice(file, name):
    data = zlib.compress(shrunk_zeros(1), 9)
    shape, twice = (2**18,), [("set_deflate", 9)] * 2
    packed_pieces(file, name, shape, np.dtype("f4"), shape, twice, {(0,): data})


def packed_by_scale(file, name):
    file.create_dataset(name, data=np.zeros(1000, np.int32), scaleoffset=0, chunks=True)


def a_thousandfold(file, name):
    shape, piece = (2**26,), (2**22,)
    pieces = dict.fromkeys([(start,) for start in range(0, 2**26, 2**22)], zlib.compress(bytes(2**24), 9))
    packed_pieces(file, name, shape, np.dtype("f4"), piece, [("set_deflate", 9)], pieces)


def lzf_in_large_pieces(file, name):
    file.create_dataset(name, data=np.zeros(2**21, np.float32), chunks=(2**21,), compression="lzf")


def one_long_name_many_times(count, length, *filters):
    def make(file, name):
        once = file.create_dataset("once", (1,), h5py.string_dtype(), chunks=(1,))
        once[0] = "x" * length
        file.flush()
        data = once.id.read_direct_chunk((0,))[1] * count
        data = zlib.compress(data, 9) if filters else data
        packed_pieces(file, name, (count,), h5py.string_dtype(), (count,), filters, {(0,): data})

    return make


def empty_dataset(shape, dtype, **options):
    return lambda file, name: file.create_dataset(name, shape, dtype, **options)


def elsewhere(file, name):
    file.create_dataset(name, (10,), "u1", external=[("/etc/hostname", 0, 10)])


def linked(file, name):
    file[name] = h5py.ExternalLink("other.h5", "x")


def virtual(file, name):
    layout = h5py.VirtualLayout((10**9,), "f4")
    layout[:10] = h5py.VirtualSource("other.h5", "x", (10,))
    file.create_virtual_dataset(name, layout)


def latin(file, name):
    file.create_dataset(name, data=np.array([b"\xff\xfe"], object), dtype=h5py.string_dtype())


def in_enormous_pieces(file, name):
    file.create_dataset(name, data=np.zeros(10), maxshape=(None,), chunks=(2**24,), compression="gzip")


BAD_HDF5 = {
    "names that are not there": (empty_dataset((10**9,), h5py.string_dtype()), "text"),
    "numbers that are not there": (empty_dataset((10**9,), "i8"), "i"),
    "numbers that are not there, in pieces": (empty_dataset((10**9,), "i8", chunks=(1000,), compression="gzip"), "i"),
    "records": (empty_dataset((1,), np.dtype([("a", "f4")])), "f"),
    "text for numbers": (lambda file, name: file.create_dataset(name, data=["a"]), "f"),
    "numbers for text": (lambda file, name: file.create_dataset(name, data=[1]), "text"),
    "another file's bytes": (elsewhere, "u"),
    "another file's dataset": (linked, "u"),
    "many files' numbers": (virtual, "f"),
    "a folder": (lambda file, name: file.create_group(name), "f"),
    "nothing": (lambda file, name: file.create_dataset(name, data=h5py.Empty("f")), "f"),
    "not UTF-8": (latin, "text"),
    "enormous pieces": (in_enormous_pieces, "f"),
    "a piece larger than it is": (a_piece_larger_than_it_is, "f"),
    "a piece that grows": (a_piece_that_grows, "f"),
    "packed twice": (packed_twice, "f"),
    "packed by scale": (packed_by_scale, "i"),
    "a thousandfold": (a_thousandfold, "f"),
    "large pieces of LZF": (lzf_in_large_pieces, "f"),
    "one long name many times": (one_long_name_many_times(20_000, 10_000), "text"),
    "the same, packed": (one_long_name_many_times(500_000, 10_000, ("set_deflate", 9)), "text"),
    "a link to a dataset beside it": (lambda file, name: file.update({name: h5py.SoftLink("/y")}), "f"),
}


@pytest.mark.parametrize("what", BAD_HDF5)
def test_a_bad_dataset_is_one_line(tmp_path, what):
    make, kinds = BAD_HDF5[what]
    path = hdf5(tmp_path / "x.h5", x=make)
    with (
        open_hdf5(path) as file,
        pytest.raises(InputError, match=r"x\.h5: (has no|the) dataset 'x'.*; get it") as error,
    ):
        read_hdf5(file, "x", path, kinds, 1, "get it again")
    assert "\n" not in str(error.value)


def test_a_damaged_piece_is_one_line(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 9, 5000)
    path = hdf5(tmp_path / "x.h5", x=lambda file, name: file.create_dataset(name, data=numbers, compression="gzip"))
    with h5py.File(path) as file:
        place = file["x"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place : place + 20] = bytes(20)
    path.write_bytes(data)
    with open_hdf5(path) as file, pytest.raises(InputError, match="the dataset 'x' is damaged"):
        read_hdf5(file, "x", path, "i")


@pytest.mark.parametrize("number", [0, 1])
def test_text_whose_lengths_lead_nowhere_is_refused_before_hdf5_walks_along_them_for_ever(tmp_path, number):
    """A free piece of no length; a text so long that place + length is the place again, in 64 bits."""
    path = hdf5(tmp_path / "x.h5", x=lambda file, name: file.create_dataset(name, data=["a", "b"]))
    data = path.read_bytes()
    first = data.index(b"GCOL\x01") + 16
    second = first + 24
    assert [data[first], data[second]] == [1, 2]
    header = struct.pack("<HHIQ", number, 1, 0, 2**64 - 16 if number else 0)
    path.write_bytes(data[:second] + header + data[second + 16 :])
    with pytest.raises(InputError, match=r"x\.h5: is damaged, HDF5 would read its text without end; get it"):
        open_hdf5(path, "get it again")


def test_collections_of_text_within_one_another_are_not_walked_over_each(tmp_path):
    path = hdf5(tmp_path / "x.h5", x=lambda file, name: file.create_dataset(name, data=[1]))
    text = struct.pack("<HHIQ", 1, 1, 0, 2**20)
    with open(path, "ab") as file:
        file.write(b"".join(struct.pack("<4sIQ", b"GCOL", 1, 2**21) + text for _ in range(2**16)))
        file.write(text * 2**16)
    started = time.process_time()
    with pytest.raises(InputError, match="is damaged"):
        open_hdf5(path)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("data", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_something_else_than_hdf5_is_one_line(tmp_path, data):
    (tmp_path / "x.h5").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.h5: is not an HDF5 file"):
        open_hdf5(tmp_path / "x.h5")


def test_a_type_that_hdf5_reads_and_numpy_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_size(16)  # no NumPy type has an exponent of 31 bits
        kind.set_precision(128)
        kind.set_fields(127, 96, 31, 0, 96)
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"a", kind, space)
    with h5py.File(path) as file, pytest.raises(InputError, match="'a'"):
        read_hdf5(file, "a", path, "f")


def test_many_names_come_back_whatever_number_is_read_at_once(tmp_path, monkeypatch):
    names = [f"{'ü' * (i % 7)}{i}.jpg" for i in range(1000)]
    make = {
        "plain": lambda file, name: file.create_dataset(name, data=names, dtype=h5py.string_dtype()),
        "packed": lambda file, name: file.create_dataset(
            name, data=names, dtype=h5py.string_dtype(), compression="gzip", chunks=(100,)
        ),
    }
    path = hdf5(tmp_path / "x.h5", **make)
    for at_once in (1, 300_000, 2**28):
        monkeypatch.setattr("files.hdf5_text.TEXT_AT_ONCE", at_once)
        with open_hdf5(path) as file:
            assert all(read_hdf5(file, name, path, "text", 1) == names for name in make)


def test_attributes_come_back_and_one_that_may_be_enormous_does_not(tmp_path):
    path = hdf5(tmp_path / "x.h5", numbers=lambda file, name: file.create_dataset(name, data=np.zeros(2_000_000)))
    with h5py.File(path, "r+") as file:
        file.attrs["names"] = [f"class {i}" for i in range(1000)]
        file.attrs["one"] = "ü"
        besides = file["numbers"].id.get_storage_size()
    with open_hdf5(path) as file:
        assert read_hdf5_attribute(file, "names", path, besides) == [f"class {i}" for i in range(1000)]
        assert read_hdf5_attribute(file, "one", path) == "ü"
        assert read_hdf5_attribute(file, "none", path) is None
        with pytest.raises(InputError, match=r"x\.h5: its attribute 'names' may be far larger than the file"):
            read_hdf5_attribute(file, "names", path)  # 16 MB that may be one name, a thousand times


NAMES = [f"{i}.jpg" for i in range(300)]
PACKED = {"compression": "gzip", "shuffle": True, "chunks": (100,)}


def names_with(file, name, where):
    """References to 300 texts, stored in the order of NAMES."""
    if where == "compact":
        about = h5p.create(h5p.DATASET_CREATE)
        about.set_layout(h5d.COMPACT)
        space, kind = h5s.create_simple((len(NAMES),)), h5t.py_create(h5py.string_dtype(), logical=True)
        h5py.Dataset(h5d.create(file.id, name.encode(), kind, space, about))[:] = NAMES
    elif where == "attribute":
        file.attrs[name] = NAMES
    else:
        flags = {"plain": {}, "packed": PACKED, "lzf": {"compression": "lzf", "chunks": (100,)}}[where]
        file.create_dataset(name, data=NAMES, dtype=h5py.string_dtype(), **flags)


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("where", ["plain", "packed", "attribute"])
def test_the_longest_text_is_known_before_any_is_read(tmp_path, where, version):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=version, userblock_size=512) as file:
        names_with(file, "x", where)
    with open_hdf5(path) as file:
        if where == "attribute":
            assert longest_text_of_attribute(file, "x", path) == len("100.jpg")
            assert read_hdf5_attribute(file, "x", path) == NAMES
        else:
            assert longest_text(file["x"], path) == len("100.jpg")
            assert read_hdf5(file, "x", path, "text", 1) == NAMES


@pytest.mark.parametrize("leads", ["to a text", "nowhere"])
@pytest.mark.parametrize("where", ["plain", "attribute"])
def test_a_text_that_says_it_is_4_gb_long_is_refused_before_room_is_made(tmp_path, where, leads):
    path = hdf5(tmp_path / "x.h5", x=lambda file, name: names_with(file, name, where))
    data = bytearray(path.read_bytes())
    collection = struct.pack("<Q", data.index(b"GCOL\x01"))
    first = data.index(struct.pack("<I", len("0.jpg")) + collection)
    data[first : first + 4] = b"\xff" * 4
    if leads == "nowhere":
        data[first + 4 : first + 12] = b"\xff" * 8
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_hdf5(path) as file:
        if where == "plain":
            with pytest.raises(InputError, match=r"'x' has a text that says it is 4,294,967,295 bytes long; make"):
                read_hdf5(file, "x", path, "text", 1)
        else:
            with pytest.raises(InputError, match="its attribute 'x' may be far larger than the file"):
                read_hdf5_attribute(file, "x", path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 2**20  # of KB


@pytest.mark.parametrize("where", ["compact", "lzf"])
def test_text_whose_lengths_cannot_be_seen_is_refused(tmp_path, where):
    path = hdf5(tmp_path / "x.h5", x=lambda file, name: names_with(file, name, where))
    with (
        open_hdf5(path) as file,
        pytest.raises(InputError, match="'x' holds text in an unusual way; write it"),
    ):
        read_hdf5(file, "x", path, "text", 1)


def test_nothing_is_read_to_find_out_that_a_dataset_is_fair(tmp_path):
    path = hdf5(tmp_path / "x.h5", x=lambda file, name: file.create_dataset(name, data=NOISE, compression="gzip"))
    with open_hdf5(path) as file:
        assert hdf5_dataset(file, "x", path, "f")[5:7].tolist() == NOISE[5:7].tolist()

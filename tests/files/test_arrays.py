"""Arrays in files: numbers come back as they are; what a file announces and does not have is one line, at once."""

import io
import zipfile

import numpy as np
import pytest

from files.arrays import as_float32, read_archive, read_array
from files.io import InputError


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "u1", "?", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3, 4)])
def test_numbers_come_back(tmp_path, dtype, order, shape):
    array = np.asarray(np.random.default_rng(0).random(shape) * 9, order=order).astype(dtype, order=order)
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", a=array, b=array)
    np.savez_compressed(tmp_path / "y.npz", a=array)
    for found in (
        read_array(tmp_path / "x.npy"),
        read_archive(tmp_path / "x.npz", ["b"])["b"],
        read_archive(tmp_path / "y.npz", ["a"])["a"],
    ):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little") + text + data


def described(descr: object, shape: object, data: bytes = b"") -> bytes:
    return npy(repr({"descr": descr, "fortran_order": False, "shape": shape}), data)


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            zipped.writestr(f"{name}.npy", data)
    return file.getvalue()


BAD = {
    "negative": described("<f4", (-5, 10)),
    "terabytes": described("<f4", (10**6, 10**6), b"1234"),
    "numbers beyond all bounds": described("<f4", (10**30,), b"1234"),
    "cut off": described("<f4", (4,), b"123456789"),
    "records": described([("a", "<f4")], (1,), b"1234"),
    "pairs": described("2<f4", (1,), b"12345678"),
    "objects": described("|O", (1,), b"\x80\x02N."),
    "dates": described("<M8[s]", (1,), b"12345678"),
    "texts": described("<U3", (1,), b"0" * 12),
    "complex": described("<c8", (1,), b"0" * 8),
    "no shape": described("<f4", 3.5),
    "a shape of truths": described("<f4", (True, True), b"1234"),
    "an open bracket": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,"),
    "brackets": npy("(" * 5000),
    "code": npy("__import__('os').system('true')"),
    "a long header": npy("{}" + " " * 60_000),
    "no header": b"\x93NUMPY\x01\x00\xff\xff",
    "another version": b"\x93NUMPY\x09\x00",
    "text": b"hello",
    "nothing": b"",
    "an archive": archive(a=described("<f4", (1,), b"1234")),
    "like an archive": b"PK\x03\x04" + bytes(50),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_array_is_one_line(tmp_path, what):
    (tmp_path / "x.npy").write_bytes(BAD[what])
    with pytest.raises(InputError, match=r"x\.npy: is not a \.npy file of numbers: .+; check --flag") as error:
        read_array(tmp_path / "x.npy", "check --flag")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("what", BAD)
def test_a_bad_array_in_an_archive_is_one_line(tmp_path, what):
    (tmp_path / "x.npz").write_bytes(archive(a=BAD[what]))
    with pytest.raises(InputError, match=r"x\.npz: is not an \.npz archive of numbers \(.+\); get it again") as error:
        read_archive(tmp_path / "x.npz", ["a"], "get it again")
    assert "\n" not in str(error.value)


def test_archives_that_bite_are_one_line(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(archive(a=described("<f4", (5_000_000,), bytes(20_000_000))))  # 20 KB that become 20 MB
    with pytest.raises(InputError, match="a would unpack to"):
        read_archive(path, ["a"])
    whole = archive(a=described("<f4", (50,), np.random.default_rng(0).random(25).tobytes()))
    for damaged in (whole[:100], whole[:60] + b"xxxx" + whole[64:], b"", b"PK\x03\x04", BAD["terabytes"]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is not an \\.npz archive"):
            read_archive(path, ["a"])
    path.write_bytes(whole)
    with pytest.raises(InputError, match="lacks the array b"):
        read_archive(path, ["b"])
    with pytest.raises(InputError, match="no such file"):
        read_archive(tmp_path / "no.npz", ["a"])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
def test_numbers_that_float32_cannot_use(wrong):
    numbers = np.zeros((3, 4))
    assert as_float32(numbers, "v.npy").dtype == np.float32
    numbers[1, 2] = wrong
    with pytest.raises(InputError, match=r"v\.npy: the number at \(1, 2\) is"):
        as_float32(numbers, "v.npy")


# HDF5 -----------------------------------------------------------------------------------------------------------------

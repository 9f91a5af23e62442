"""Archives of strangers, through data/download.py, which finds them there: the right is unpacked, the rest refused."""

import functools
import os
import signal
import tarfile
import zipfile
from io import BytesIO

import pytest
from zips import zipped

from data.archives import unpack
from data.download import COLLECTIONS, Collection, Source, main
from files.io import InputError


@pytest.fixture
def get(monkeypatch, tmp_path):
    """get(bytes of an archive) -> the exit status of data/download.py, in a folder where it lies."""
    source = Source("http://127.0.0.1:9/flat.zip", ("objects.json", "predicates.json", "a*.json"))
    monkeypatch.setitem(COLLECTIONS, "vrd", Collection((source,), tmp_path, "http://the.page/"))

    def run(data):
        (tmp_path / "flat.zip").write_bytes(data)
        return main(["vrd", "--output", str(tmp_path)])

    return run


def opened(folder, files, **how):
    (folder / "x.zip").write_bytes(files if isinstance(files, bytes) else zipped(files))
    return zipfile.ZipFile(folder / "x.zip")


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"])
@pytest.mark.parametrize("patterns", [("*.txt",), ("a/*.txt",)])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name, patterns):
    (tmp_path / "out").mkdir()
    with (
        opened(tmp_path, {"fine.txt": b"1", name: b"2"}) as archive,
        pytest.raises(InputError, match="outside"),
    ):
        unpack(archive, tmp_path / "out", patterns)
    assert not list((tmp_path / "out").iterdir())


def test_links_in_an_archive_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with opened(tmp_path, buffer.getvalue()) as archive, pytest.raises(InputError, match="outside"):
        unpack(archive, tmp_path, ("*.txt",))


def test_an_archive_without_the_files_it_should_have(tmp_path, capsys, get):
    assert get(zipped({"readme.txt": b"hello"})) == 2
    assert "holds none of the files it should (objects.json, predicates.json" in capsys.readouterr().err


def damaged(method):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a1.json", b"[1, 2, 3]")
        archive.writestr("a2.json", b"[1, 2, 3]" * 1000)
    data = bytearray(buffer.getvalue())
    place = data.rindex(b"a2.json", 0, data.index(b"PK\x01\x02")) + len("a2.json")
    for byte in range(place + 4, place + 24):
        data[byte] ^= 255
    return bytes(data)


def named_wrongly():
    data = zipped({"ä.json": b"[1]", "objects.json": b"[1]"})
    return data.replace("ä".encode(), b"\xff\xfe")


def encrypted():
    data = bytearray(zipped({"objects.json": b"[1]"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def unknown_method():
    data = bytearray(zipped({"objects.json": b"[1]"}))
    data[8], data[data.index(b"PK\x01\x02") + 10] = 77, 77
    return bytes(data)


@functools.cache
def bomb():
    return zipped({"objects.json": bytes(300 << 20)})


def overlapping():
    """A thousand entries over the same bytes of the archive."""
    data = zipped({"a0.json": bytes(2 << 20)})
    directory = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[directory:end]
    entries = b"".join(entry.replace(b"a0.json", f"a{n:x}.json"[:7].encode().ljust(7, b"n")) for n in range(1000))
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (1000).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    return data[:directory] + entries + bytes(tail)


def announcing(size):
    """Says that its file has another size than it has, in both places."""
    data = bytearray(zipped({"objects.json": b"[1, 2]" * 100}))
    directory = data.index(b"PK\x01\x02")
    data[22:26] = data[directory + 24 : directory + 28] = size.to_bytes(4, "little")
    return bytes(data)


def announcing_more_than_there_is():
    """By the longer numbers of large archives."""
    data = bytearray(zipped({"objects.json": b"[1, 2]" * 100}))
    directory, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    extra = (1).to_bytes(2, "little") + (16).to_bytes(2, "little") + (2**63 - 1).to_bytes(8, "little") * 2
    entry = data[directory:end] + extra
    entry[20:28], entry[30:32] = b"\xff" * 8, len(extra).to_bytes(2, "little")
    data[end + 12 : end + 16] = len(entry).to_bytes(4, "little")
    return bytes(data[:directory] + entry + data[end:])


def listing(count, large):
    """As many entries as it takes to keep zipfile busy for a minute; large: as archives of more than 4 GB list them."""
    data = zipped({"a000000.json": b"[1]"})
    directory, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = data[directory:end] * count
    tail = bytearray(data[end:])
    tail[12:16] = b"\xff" * 4 if large else len(entries).to_bytes(4, "little")
    record = bytearray(56 + 20) if large else bytearray()
    if large:
        record[:4], record[40:48], record[48:56] = b"PK\x06\x06", len(entries).to_bytes(8, "little"), bytes(8)
        record[56:60], record[72] = b"PK\x06\x07", 1
    return data[:directory] + entries + bytes(record) + bytes(tail)


def tarred():
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("objects.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def with_two(one, other):
    return lambda: zipped({one: b"[1]", other: b"[2]"})


def twice():
    """One name twice, with two contents."""
    return zipped({"a1.json": b"[1]", "a2.json": b"[2]"}).replace(b"a2.json", b"a1.json")


BAD_ARCHIVES = {
    "deflate": (lambda: damaged(zipfile.ZIP_DEFLATED), "not a whole zip archive"),
    "bzip2": (lambda: damaged(zipfile.ZIP_BZIP2), "not a whole zip archive"),
    "lzma": (lambda: damaged(zipfile.ZIP_LZMA), "not a whole zip archive"),
    "a name that is not UTF-8": (named_wrongly, "not a whole zip archive"),
    "encrypted": (encrypted, "is encrypted"),
    "an unknown method": (unknown_method, "not a whole zip archive"),
    "a bomb": (bomb, "would unpack to 314,572,800 bytes"),
    "cut off": (lambda: zipped({"objects.json": b"[1]"})[:-30], "not a whole zip archive"),
    "empty": (lambda: b"", "not a whole zip archive"),
    "nothing inside": (lambda: zipped({}), "holds none of the files it should"),
    "a long name": (lambda: zipped({"a" * 60_000 + ".json": b"[1]"}), None),
    "entries that overlap": (overlapping, ""),
    "less announced than there is": (lambda: announcing(3), "not a whole zip archive"),
    "more announced than there is": (lambda: announcing(9999), "objects.json has another size than it announces"),
    "more announced than a disk has": (
        announcing_more_than_there_is,
        "would unpack to 9,223,372,036,854,775,807",
    ),
    "a long list of files": (lambda: listing(250_000, False), "lists its files in 14,500,000 bytes"),
    "a long list in a large archive": (lambda: listing(250_000, True), "lists its files in 14,500,000 bytes"),
    "a tar archive": (tarred, "not a whole zip archive"),
    "one name twice": (twice, "'a1.json' and 'a1.json' would be one file"),
    "one file of two folders": (with_two("a/objects.json", "b/objects.json"), "'b/objects.json' would be one file"),
    "one file on a Mac": (with_two("ax.json", "aX.json"), "'ax.json' and 'aX.json' would be one file"),
    "composed and decomposed": (with_two("a\u00fc.json", "au\u0308.json"), "would be one file"),
    "one file once it is safe": (with_two("a?.json", "a*.json"), "'a?.json' and 'a*.json' would be one file"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_in_one_line_and_leaves_nothing(tmp_path, capsys, get, case):
    make, message = BAD_ARCHIVES[case]
    status = get(make())
    error = capsys.readouterr().err
    if message is None:
        assert (status, error) == (0, "")
        return
    assert status == 2
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*") if path.name != "flat.zip"] == []


def test_a_file_of_the_right_size_and_other_contents_is_unpacked_again(tmp_path, get):
    (tmp_path / "objects.json").write_bytes(b"[2]")
    assert get(zipped({"objects.json": b"[1]"})) == 0
    assert (tmp_path / "objects.json").read_bytes() == b"[1]"


@pytest.mark.parametrize(
    "data",
    [
        b"#!/bin/sh\n" * 100 + zipped({"objects.json": b"[1]"}),  # one that unpacks itself
        zipped({"objects.json\0../../evil": b"[1]"}),
        zipped({"predicates.json/x": b"", "objects.json": b"[1]"}),
        zipped({"a/objects.json": b"[1]", "b/objects.json": b"[1]"}),  # twice the same
    ],
)
def test_odd_archives_that_hold_what_they_should(tmp_path, get, data):
    assert get(data) == 0
    assert (tmp_path / "objects.json").read_bytes() == b"[1]"
    assert {path.name for path in tmp_path.iterdir()} == {"objects.json", ".flat.zip.done"}


def test_devices_and_pipes_of_an_archive_become_plain_files(tmp_path, get):
    pipe = zipfile.ZipInfo("objects.json")
    pipe.external_attr = 0o010666 << 16
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(pipe, b"[1]")
    assert get(buffer.getvalue()) == 0
    assert (tmp_path / "objects.json").is_file()


def test_a_folder_where_a_file_belongs_and_a_file_where_a_folder_does(tmp_path, get, capsys):
    (tmp_path / "objects.json").mkdir()
    assert get(zipped({"objects.json": b"[1]"})) == 2
    assert "objects.json: cannot be written (Is a directory)" in capsys.readouterr().err
    (tmp_path / "VG").write_text("mine")
    with opened(tmp_path, {"VG/1.jpg": b"1"}) as archive, pytest.raises(InputError, match=r"1\.jpg: cannot be written"):
        unpack(archive, tmp_path, ("VG/*.jpg",))
    assert (tmp_path / "VG").read_text() == "mine"


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path)])
@pytest.mark.parametrize("name", ["flat.zip", ".flat.zip.done", "flat.zip.part", "flat.zip.part.version"])
def test_a_folder_or_a_pipe_in_place_of_its_own_files_is_not_waited_for(tmp_path, get, capsys, make, name):
    make(tmp_path / name)
    signal.alarm(20)  # ends the test: nobody writes into the pipe
    assert main(["vrd", "--output", str(tmp_path)]) == 2
    signal.alarm(0)
    assert f"{name}: is not a file; move it away, and run this again" in capsys.readouterr().err


def test_weights_that_unpack_to_far_too_much_are_not_unpacked_to_see(tmp_path, monkeypatch, capsys):
    source = Source("http://127.0.0.1:9/uni_skip.npz")
    monkeypatch.setitem(COLLECTIONS, "vrd", Collection((source,), tmp_path, "http://the.page/"))
    (tmp_path / "uni_skip.npz").write_bytes(bomb())
    assert main(["vrd", "--output", str(tmp_path)]) == 2
    assert "uni_skip.npz: would unpack to 314,572,800 bytes" in capsys.readouterr().err

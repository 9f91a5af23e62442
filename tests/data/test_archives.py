"""Archives of strangers, through data/download.py, which finds them there: what is right is unpacked, the rest refused."""

import zipfile
from io import BytesIO

import pytest

from data.archives import unpack
from data.download import COLLECTIONS, Collection, Source, main
from files.io import InputError


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


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

"""data/download.py against a server on 127.0.0.1 that can resume, and can misbehave."""

import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from zips import zipped

from data import download
from data.download import COLLECTIONS, Collection, Source, main


class Server:
    """Serves `files`; the dictionaries say how it misbehaves for a path."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, list[int]] = {}  # bytes after which successive requests break off
        self.announced: dict[str, int] = {}  # a Content-Length other than the true one
        self.status: dict[str, list[int]] = {}  # statuses of successive requests
        self.ranges = True
        self.requests: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler):
        name = handler.path.lstrip("/")
        wanted = handler.headers.get("Range")
        self.requests.append((name, wanted))
        handler.close_connection = True
        statuses = self.status.get(name, [])
        status = statuses.pop(0) if statuses else 200 if name in self.files else 404
        if status != 200:
            handler.send_error(status)
            return
        data, etag = self.files[name], f'"{hash(self.files[name])}"'
        first = 0
        if wanted and self.ranges and handler.headers.get("If-Range", etag) == etag:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            if first >= len(data):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(data)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            handler.send_response(200)
        handler.send_header("ETag", etag)
        handler.send_header("Content-Length", str(self.announced.get(name, len(data) - first)))
        handler.end_headers()
        cuts = self.cut.get(name, [])
        end = first + cuts.pop(0) if cuts else len(data)
        handler.wfile.write(data[first:end])


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """A small collection: an archive that is unpacked flat, one with folders, and a plain file."""
    files = (
        Source("http://x/flat.zip", ("objects.json", "predicates.json", "a*.json")),
        Source("http://x/tree.zip", ("VG_100K/*.jpg",)),
        Source("http://x/words.txt"),
    )
    monkeypatch.setitem(COLLECTIONS, "vrd", Collection(files, tmp_path, "http://the.page/"))
    monkeypatch.setattr(download.time, "sleep", lambda _: None)


FILES = {
    "flat.zip": zipped({"inner/objects.json": b"[1]", "predicates.json": b"[2]"}),
    "tree.zip": zipped({"VG_100K/1.jpg": b"pixels" * 1000, "VG_100K/2.jpg": b"more"}),
    "words.txt": b"man,woman\n" * 500,
}


def run(server, folder):
    return main(["vrd", "--base_url", server.url, "--output", str(folder)])


def test_fetches_unpacks_and_does_not_fetch_again(server, sources, tmp_path, capsys):
    server.files = dict(FILES)
    assert run(server, tmp_path) == 0
    assert (tmp_path / "objects.json").read_bytes() == b"[1]"
    assert (tmp_path / "VG_100K" / "1.jpg").read_bytes() == b"pixels" * 1000
    assert (tmp_path / "words.txt").read_bytes() == FILES["words.txt"]
    assert not list(tmp_path.glob("*.zip"))
    assert not list(tmp_path.glob("*.part*"))
    before = len(server.requests)
    assert run(server, tmp_path) == 0
    assert len(server.requests) == before
    assert "is there already" in capsys.readouterr().out
    (tmp_path / "predicates.json").unlink()
    assert run(server, tmp_path) == 0
    assert [name for name, _ in server.requests[before:]] == ["flat.zip"], "what was deleted is fetched again"
    assert (tmp_path / "predicates.json").read_bytes() == b"[2]"


def test_a_broken_transfer_is_resumed_at_its_byte(server, sources, tmp_path):
    server.files = dict(FILES)
    server.cut["words.txt"] = [1000, 500]
    assert run(server, tmp_path) == 0
    assert [wanted for name, wanted in server.requests if name == "words.txt"] == [None, "bytes=1000-", "bytes=1500-"]
    assert (tmp_path / "words.txt").read_bytes() == FILES["words.txt"]


def test_a_later_run_resumes_the_part(server, sources, tmp_path, capsys):
    server.files = dict(FILES)
    server.cut["words.txt"] = [700] + [0] * download.ATTEMPTS
    assert run(server, tmp_path) == 2
    error = capsys.readouterr().err
    assert "broke off" in error
    assert "run this again to resume" in error
    assert error.count("\n") == 1
    assert (tmp_path / "words.txt.part").stat().st_size == 700
    assert not (tmp_path / "words.txt").exists()
    server.requests.clear()
    assert run(server, tmp_path) == 0
    assert server.requests == [("words.txt", "bytes=700-")]
    assert (tmp_path / "words.txt").read_bytes() == FILES["words.txt"]


def test_a_part_of_another_version_is_not_resumed(server, sources, tmp_path):
    server.files = dict(FILES)
    server.cut["words.txt"] = [700] + [0] * download.ATTEMPTS
    run(server, tmp_path)
    server.files["words.txt"] = b"new words\n" * 500
    assert run(server, tmp_path) == 0
    assert (tmp_path / "words.txt").read_bytes() == b"new words\n" * 500


def test_a_server_that_cannot_resume_starts_over(server, sources, tmp_path):
    server.files, server.ranges = dict(FILES), False
    server.cut["words.txt"] = [1000]
    assert run(server, tmp_path) == 0
    assert (tmp_path / "words.txt").read_bytes() == FILES["words.txt"]


def test_a_part_that_was_already_whole(server, sources, tmp_path):
    server.files = dict(FILES)
    (tmp_path / "words.txt.part").write_bytes(FILES["words.txt"])
    assert run(server, tmp_path) == 0
    assert (tmp_path / "words.txt").read_bytes() == FILES["words.txt"]


def test_a_part_longer_than_the_file_is_thrown_away(server, sources, tmp_path):
    server.files = dict(FILES)
    (tmp_path / "words.txt.part").write_bytes(b"x" * 9000)
    assert run(server, tmp_path) == 0
    assert (tmp_path / "words.txt").read_bytes() == FILES["words.txt"]


def test_a_length_that_is_never_reached_is_an_error(server, sources, tmp_path, capsys):
    server.files, server.ranges = dict(FILES), False
    server.announced["words.txt"] = len(FILES["words.txt"]) + 10
    assert run(server, tmp_path) == 2
    assert "broke off" in capsys.readouterr().err
    assert not (tmp_path / "words.txt").exists()


def test_a_shorter_announced_length_breaks_the_archive_not_the_user(server, sources, tmp_path, capsys):
    server.files = dict(FILES)
    server.announced["flat.zip"] = 40
    assert run(server, tmp_path) == 2
    assert "not a whole zip archive" in capsys.readouterr().err
    assert not (tmp_path / "flat.zip").exists()
    assert not (tmp_path / "objects.json").exists()


def test_a_host_that_moved_says_what_to_do_by_hand(server, sources, tmp_path, capsys):
    server.files = {name: data for name, data in FILES.items() if name != "tree.zip"}
    assert run(server, tmp_path) == 2
    error = capsys.readouterr().err
    assert "404" in error
    assert "By hand: find tree.zip through http://the.page/" in error
    assert error.count("\n") == 1
    (tmp_path / "tree.zip").write_bytes(FILES["tree.zip"])  # as the message says
    assert run(server, tmp_path) == 0
    assert (tmp_path / "VG_100K" / "2.jpg").read_bytes() == b"more"


def test_a_busy_server_is_asked_again(server, sources, tmp_path):
    server.files = dict(FILES)
    server.status["words.txt"] = [503, 503]
    assert run(server, tmp_path) == 0


def test_a_page_in_place_of_an_archive(server, sources, tmp_path, capsys):
    server.files = FILES | {"flat.zip": b"<html>We have moved</html>"}
    assert run(server, tmp_path) == 2
    assert "not a whole zip archive" in capsys.readouterr().err


def test_a_damaged_archive_is_removed_and_leaves_no_broken_file(server, sources, tmp_path, capsys):
    data = bytearray(zipped({"a.json": bytes(range(256)) * 40}))
    data[60:70] = b"\x00" * 10
    server.files = FILES | {"flat.zip": bytes(data)}
    assert run(server, tmp_path) == 2
    assert "was removed" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
    assert not (tmp_path / "flat.zip").exists()


def test_only_what_is_expected_is_unpacked_never_code(server, tmp_path, monkeypatch, capsys):
    """An archive of images once replaced a module of the project, which then ran."""
    code = {
        "splits.py": b"evil",
        "VG_100K_2/__init__.py": b"evil",
        "x/VG_100K/2.jpg": b"",
        "VG_100K_2/.jpg.pth": b"evil",
    }
    server.files = {
        "images.zip": zipped({"VG_100K_2/1.jpg": b"pixels", **code}),
        "images2.zip": zipped({"VG_100K/3.jpg": b"pixels", "VG_100K/../VG_100K/4.jpg": b"evil"}),
    }
    (tmp_path / "splits.py").write_text("good")
    arguments = ["vg-images", "--base_url", server.url, "--output", str(tmp_path)]
    assert main(arguments) == 2  # of the second, whose name leads back
    assert "outside" in capsys.readouterr().err
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [".images.zip.done", "VG_100K_2/1.jpg", "images2.zip", "splits.py"]
    assert (tmp_path / "splits.py").read_text() == "good"


def test_a_mark_that_is_no_text_is_no_mark(server, sources, tmp_path):
    server.files = dict(FILES)
    for mark in (b"\xff\xfe\0", b"", b"http://x/\n\0\n", b"http://x\n" + b"a" * 5000):
        (tmp_path / ".flat.zip.done").write_bytes(mark)
        (tmp_path / "objects.json").unlink(missing_ok=True)
        assert run(server, tmp_path) == 0
        assert (tmp_path / "objects.json").read_bytes() == b"[1]"


# A server that lies ------------------------------------------------------------------------------

ANSWERS = {
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "no connection"),
    "nothing": (b"", "no connection"),
    "a status that is not a number": (b"HTTP/1.1 abc OK\r\n\r\n", "no connection"),
    "a status line with control characters": (b"HTTP/1.1 404 \x1b[2Jgone\x07\r\n\r\n", "the server answers 404 ?"),
    "a status without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", "the server answers 204 No Content"),
    "a length of 5 000 digits": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nx", ""),
    "a length of petabytes": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\nx", "announces 999,999"),
    "a length that is not a number": (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n", None),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "no connection"),
    "a header line without end": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "no connection"),
    "a redirect to a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "the server"),
    "a redirect to FTP": (b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", "makes no sense"),
    "a redirect to no address": (b"HTTP/1.1 302 Found\r\nLocation: http://[x/\r\n\r\n", "makes no sense"),
    "a redirect to a port that is none": (b"HTTP/1.1 302 Found\r\nLocation: http://a:b/\r\n\r\n", ""),
    "a redirect to itself": (b"HTTP/1.1 302 Found\r\nLocation: /words.txt\r\n\r\n", "the server answers 302"),
    "a web page": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=x\r\n\r\n<html>", "a web page, not the file"),
    "packed": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx", "packed in a way that was not asked for"),
    "pieces that are none": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello", ""),
    "a part that was not asked for": (b"HTTP/1.1 206 OK\r\nContent-Range: bytes 7-9/10\r\n\r\nabc", "another byte"),
    "a version that cannot be sent back": (
        b"HTTP/1.1 200 OK\r\nETag: \xff\x00\r\nContent-Length: 9\r\n\r\nx",
        "broke off",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_server_that_answers_nonsense(tmp_path, monkeypatch, capsys, case):
    answer, message = ANSWERS[case]
    monkeypatch.setitem(COLLECTIONS, "vrd", Collection((Source("http://x/words.txt"),), tmp_path, "http://the.page/"))
    monkeypatch.setattr(download.time, "sleep", lambda _: None)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        status = main(["vrd", "--base_url", url, "--output", str(tmp_path)])
        server.shutdown()
    error = capsys.readouterr().err
    if message is None:
        assert status == 0
        return
    assert status == 2
    assert message in error
    assert error.count("\n") == 1
    assert error.rstrip("\n").isprintable()
    assert {path.name for path in tmp_path.iterdir()} <= {"words.txt.part", "words.txt.part.version"}


def test_a_file_that_does_not_end(server, sources, tmp_path, monkeypatch, capsys):
    server.files = FILES | {"words.txt": b"x" * 5000}
    monkeypatch.setattr(download, "MOST_BYTES", 1000)
    monkeypatch.setattr(download, "BLOCK", 100)
    assert run(server, tmp_path) == 2
    assert "announces 5,000 bytes, more than any file" in capsys.readouterr().err


def test_no_server_at_all(sources, tmp_path, capsys):
    assert main(["vrd", "--base_url", "http://127.0.0.1:9", "--output", str(tmp_path)]) == 2
    assert "no connection" in capsys.readouterr().err


def test_an_output_that_cannot_be_made(sources, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["vrd", "--output", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_every_collection_names_real_addresses():
    for collection in COLLECTIONS.values():
        names = [source.name for source in collection.sources]
        assert len(set(names)) == len(names)
        assert all(source.url.startswith(("http://", "https://")) for source in collection.sources)

"""Fetch public data sets and weights, unpacked and checked.

    python data/download.py vg-annotations    Visual Genome 1.4 annotations -> data/raw_data
    python data/download.py vg-images         its images (15 GB) -> data/VG_100K, data/VG_100K_2
    python data/download.py vg150             VG150, the benchmark cut from it -> data/vg150
    python data/download.py gqa               GQA's scene graphs -> data/gqa
    python data/download.py vrd               VRD annotations and images -> data/vrd
    python data/download.py skipthoughts      skip-thought weights (5 GB) -> data/skipthoughts

Run it again to resume. What is complete is not fetched again. When a host has moved, put the
file that is named into the output folder by hand and run it again: it is then checked and
unpacked. Of an archive only the annotation files and images that are expected are unpacked.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data.archives import BLOCK, check, open_archive, plain, unpack  # noqa: E402
from files.io import InputError, atomic_write, reports_input_errors  # noqa: E402
from files.locks import folder_lock  # noqa: E402

TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 5  # in a row that bring nothing new
MOST_BYTES = 40 << 30  # of one file: more than any of them has
IMAGE_FILES = ("*.jpg", "*.jpeg", "*.png", "*.gif")


@dataclass(frozen=True)
class Source:
    """A file to fetch. unpack: which of an archive's files are wanted, by patterns.

    A pattern without `/` takes the file from any folder of the archive, and puts it into the output
    folder; one with `/` is the whole path, and the file keeps its folders. () for a file that is not an archive.
    """

    url: str
    unpack: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, the last part of its address."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Collection:
    """Files that belong together, where they go, and the page to look at when a host has moved."""

    sources: tuple[Source, ...]
    output: Path
    page: str


_VG = "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset/"
_IMAGES_VG = tuple(f"{folder}/{name}" for folder in ("VG_100K", "VG_100K_2") for name in IMAGE_FILES)
_SKIP = "http://www.cs.toronto.edu/~rkiros/models/"
COLLECTIONS = {
    "vg-annotations": Collection(
        (
            *(
                Source(f"{_VG}{name}.json.zip", (f"{name}.json",))
                for name in ("objects", "relationships", "attributes", "scene_graphs", "image_data")
            ),
            Source(f"{_VG}object_alias.txt"),
            Source(f"{_VG}relationship_alias.txt"),
        ),
        Path("data/raw_data"),
        "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html",
    ),
    "vg-images": Collection(
        (
            Source("https://cs.stanford.edu/people/rak248/VG_100K_2/images.zip", _IMAGES_VG),
            Source("https://cs.stanford.edu/people/rak248/VG_100K_2/images2.zip", _IMAGES_VG),
        ),
        Path("data"),
        "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html",
    ),
    "vg150": Collection(
        (
            Source("http://svl.stanford.edu/projects/scene-graph/dataset/VG-SGG.h5"),
            Source("http://svl.stanford.edu/projects/scene-graph/dataset/VG-SGG-dicts.json"),
            Source("http://svl.stanford.edu/projects/scene-graph/VG/image_data.json"),
        ),
        Path("data/vg150"),
        "https://github.com/danfeiX/scene-graph-TF-release",
    ),
    "gqa": Collection(
        (Source("https://downloads.cs.stanford.edu/nlp/data/gqa/sceneGraphs.zip", ("*_sceneGraphs.json",)),),
        Path("data/gqa"),
        "https://cs.stanford.edu/people/dorarad/gqa/download.html",
    ),
    "vrd": Collection(
        (
            Source(
                "https://cs.stanford.edu/people/ranjaykrishna/vrd/json_dataset.zip",
                ("annotations_train.json", "annotations_test.json", "objects.json", "predicates.json"),
            ),
            Source(
                "http://imagenet.stanford.edu/internal/jcjohns/scene_graphs/sg_dataset.zip",
                tuple(f"sg_dataset/sg_{part}_images/{name}" for part in ("train", "test") for name in IMAGE_FILES),
            ),
        ),
        Path("data/vrd"),
        "https://cs.stanford.edu/people/ranjaykrishna/vrd/",
    ),
    "skipthoughts": Collection(
        tuple(
            Source(_SKIP + name)
            for name in (
                "dictionary.txt",
                "utable.npy",
                "btable.npy",
                "uni_skip.npz",
                "uni_skip.npz.pkl",
                "bi_skip.npz",
                "bi_skip.npz.pkl",
            )
        ),
        Path("data/skipthoughts"),
        "https://github.com/ryankiros/skip-thoughts",
    ),
}


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the script. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", choices=COLLECTIONS)
    parser.add_argument("--output", type=Path, metavar="DIR", help="where it goes (see above)")
    parser.add_argument("--base_url", metavar="URL", help="fetch the files, under their own names, from this address")
    parser.add_argument("--keep_archives", action="store_true", help="do not remove zip files after unpacking")
    arguments = parser.parse_args(argv)
    if arguments.base_url and urllib.parse.urlsplit(arguments.base_url).scheme not in ("http", "https"):
        parser.error("--base_url must begin with http:// or https://")
    collection = COLLECTIONS[arguments.collection]
    output = arguments.output or collection.output
    with folder_lock(output, "--output", shared=True):
        for source in collection.sources:
            url = f"{arguments.base_url.rstrip('/')}/{source.name}" if arguments.base_url else source.url
            get(source, url, output, collection.page, arguments.keep_archives)
    print(f"{arguments.collection} is complete in {output}.")
    return 0


def get(source: Source, url: str, output: Path, page: str, keep_archive: bool = False) -> None:
    """Fetch one file unless it is there, check it, unpack it. Raises InputError with what to do."""
    path, done = output / source.name, output / f".{source.name}.done"
    for other in (path, done, *_parts(path)):
        if other.exists() and not other.is_file():  # a folder, or a pipe, which would be waited for
            raise InputError(f"{other}: is not a file; move it away, and run this again")
    if done.exists() and _is_there(source, path, done):
        print(f"{source.name}: is there already")
        return
    if not path.exists():
        try:
            fetch(url, path)
        except InputError as error:
            raise InputError(
                f"{error}. By hand: find {source.name} through {page}, put it into {output}, and run this again"
            ) from None
    names: list[str] = []
    if source.unpack or path.suffix == ".npz":
        try:
            with open_archive(path) as archive:
                if source.unpack:
                    names = unpack(archive, output, source.unpack)
                else:
                    check(archive)
        except InputError:
            raise
        except Exception as error:  # zipfile and the unpackers below it raise almost anything
            if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
                raise InputError(f"{path}: cannot be read or unpacked ({error.strerror})") from None
            path.unlink()
            raise InputError(
                f"{path}: is not a whole zip archive ({plain(error)}) and was removed; run this again, or find "
                f"{source.name} through {page}, put it into {output}, and run this again"
            ) from None
    kept = [name for name in names if "/" not in name]  # of folders of images only the mark is looked at
    with atomic_write(done, "w") as file:
        file.writelines(f"{line}\n" for line in (url, *kept))
    if source.unpack and not keep_archive:
        path.unlink()
    made = f"{len(names):,} files unpacked" if source.unpack else f"{path.stat().st_size:,} bytes"
    print(f"{source.name}: {made}")


def _is_there(source: Source, path: Path, done: Path) -> bool:
    """Whether what an earlier run has marked as done is still there; of folders only the mark is looked at."""
    if not source.unpack:
        return path.exists()
    try:
        lines = done.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(lines) and all("\0" not in name and os.path.exists(path.parent / name) for name in lines[1:])


# Fetching ---------------------------------------------------------------------------------------


def _parts(path: Path) -> tuple[Path, Path]:
    """Where a file is that is not whole yet, and of which version it is."""
    return Path(f"{path}.part"), Path(f"{path}.part.version")


def fetch(url: str, path: Path) -> None:
    """Download to `path`, by way of `path`.part, which a later call resumes.

    Raises InputError when the server refuses or answers nonsense, when the transfer keeps breaking
    off, when the length is not the one announced, or when the disk is full.
    """
    part, mark = _parts(path)
    idle = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            whole = _transfer(url, part, mark, have)
        except urllib.error.HTTPError as error:
            if error.code < 500 or idle == ATTEMPTS - 1:
                moved = ": it has moved or been taken down" if error.code in (403, 404, 410) else ""
                raise InputError(f"{url}: the server answers {error.code} {plain(error.reason)}{moved}") from None
            reason = f"the server answers {error.code} {plain(error.reason)}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = f"no connection ({plain(getattr(error, 'reason', None) or error or type(error).__name__)})"
        except ValueError as error:  # addresses and headers that are none
            raise InputError(f"{url}: the server's answer makes no sense ({plain(error)})") from None
        except OSError as error:
            raise InputError(
                f"{part}: cannot be written ({error.strerror}); free the disk and run this again"
            ) from None
        else:
            if whole:
                os.replace(part, path)
                mark.unlink(missing_ok=True)
                return
            reason = "the transfer broke off"
        now = part.stat().st_size if part.exists() else 0
        idle = 0 if now > have else idle + 1
        if idle == ATTEMPTS:
            raise InputError(f"{url}: {reason}, {ATTEMPTS} times in a row, after {now} bytes; run this again to resume")
        if idle:
            time.sleep(min(0.1 * 2**idle, 5))


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows the server to other addresses, never out of HTTP."""

    def redirect_request(self, request, file, code, message, headers, address):
        if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            raise ValueError(f"it sends us to {address}")
        return super().redirect_request(request, file, code, message, headers, address)


def _version(text: str) -> str:
    """A version as a server may write it into a header; "" where it is not fit to be sent back."""
    return text if len(text) < 200 and text.isascii() and text.isprintable() and not text.startswith("W/") else ""


def _transfer(url: str, part: Path, mark: Path, have: int) -> bool:
    """One request, from byte `have` on. True when the file is then whole."""
    request = urllib.request.Request(url, headers={"User-Agent": "vrl-download/1", "Accept-Encoding": "identity"})
    version = _version(mark.read_text("utf-8", "replace").strip()) if mark.exists() else ""
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version:  # the server sends the whole file when it is not the one of which we have a part
            request.add_header("If-Range", version)
    try:
        response = urllib.request.build_opener(_HttpOnly).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return True
        part.unlink()  # longer than the file that is there now
        return False
    with response:
        total = response.headers.get("Content-Length")
        total = int(total) if total and total.isascii() and total.isdigit() else None
        if response.status not in (200, 206):
            raise InputError(f"{url}: the server answers {response.status} {plain(response.reason)}")
        if response.headers.get_content_type() == "text/html":
            raise InputError(f"{url}: the server sends a web page, not the file: it has moved or been taken down")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise InputError(f"{url}: the server sends the file packed in a way that was not asked for")
        if response.status == 206:
            span, _, size = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if span.split("-")[0] != str(have):
                raise InputError(
                    f"{url}: the server resumes at another byte than asked; remove {part} and run this again"
                )
            total = int(size) if size.isascii() and size.isdigit() else (None if total is None else have + total)
        else:
            have = 0
            versions = (_version(response.headers.get(name, "")) for name in ("ETag", "Last-Modified"))
            mark.write_text(next(filter(None, versions), ""))
        if (total or 0) > MOST_BYTES:
            raise InputError(f"{url}: announces {total:,} bytes, more than any file of the collection has")
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise InputError(f"{part.parent}: too little room for {total} bytes; free the disk and run this again")
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(
                total=total, initial=have, desc=part.stem, unit="B", unit_scale=True, disable=None, leave=False
            ) as bar,
        ):
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
                if file.tell() > MOST_BYTES:
                    break
            size = file.tell()
    if size > (MOST_BYTES if total is None else total):
        part.unlink()
        announced = f"had announced {total}" if total is not None else "does not end"
        raise InputError(f"{url}: sent {size} bytes but {announced}; run this again")
    return total is None or size == total


if __name__ == "__main__":
    sys.exit(main())

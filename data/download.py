"""Fetch public data sets and weights, unpacked and checked.

    python data/download.py vg-annotations    Visual Genome 1.4 annotations -> data/raw_data
    python data/download.py vg-images         its images (15 GB) -> data/VG_100K, data/VG_100K_2
    python data/download.py vg150             VG150, the benchmark cut from it -> data/vg150
    python data/download.py gqa               GQA's scene graphs -> data/gqa
    python data/download.py vrd               VRD annotations and images -> data/vrd
    python data/download.py skipthoughts      skip-thought weights (5 GB) -> data/skipthoughts

Run it again to resume. What is complete is not fetched again. When a host has
moved, put the file it names into the output folder by hand and run it again: it then checks
and unpacks that file.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from files.io import InputError, atomic_write, reports_input_errors, safe_file_name  # noqa: E402

BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 5  # in a row that bring nothing new


@dataclass(frozen=True)
class Source:
    """A file to fetch. unpack: "" no; "flat" all files into the output folder; "tree" with their folders."""

    url: str
    unpack: str = ""

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
_SKIP = "http://www.cs.toronto.edu/~rkiros/models/"
COLLECTIONS = {
    "vg-annotations": Collection(
        (
            *(
                Source(f"{_VG}{name}.json.zip", "flat")
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
            Source("https://cs.stanford.edu/people/rak248/VG_100K_2/images.zip", "tree"),
            Source("https://cs.stanford.edu/people/rak248/VG_100K_2/images2.zip", "tree"),
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
        (Source("https://downloads.cs.stanford.edu/nlp/data/gqa/sceneGraphs.zip", "flat"),),
        Path("data/gqa"),
        "https://cs.stanford.edu/people/dorarad/gqa/download.html",
    ),
    "vrd": Collection(
        (
            Source("https://cs.stanford.edu/people/ranjaykrishna/vrd/json_dataset.zip", "flat"),
            Source("http://imagenet.stanford.edu/internal/jcjohns/scene_graphs/sg_dataset.zip", "tree"),
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
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot be made ({error.strerror}); choose another folder by --output") from None
    for source in collection.sources:
        url = f"{arguments.base_url.rstrip('/')}/{source.name}" if arguments.base_url else source.url
        get(source, url, output, collection.page, arguments.keep_archives)
    print(f"{arguments.collection} is complete in {output}.")
    return 0


def get(source: Source, url: str, output: Path, page: str, keep_archive: bool = False) -> None:
    """Fetch one file unless it is there, check it, unpack it. Raises InputError with what to do."""
    path, done = output / source.name, output / f".{source.name}.done"
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
            with zipfile.ZipFile(path) as archive:
                if source.unpack:
                    names = unpack(archive, output, source.unpack == "flat")
                else:
                    _check(archive)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:  # the third: a damaged header
            path.unlink()
            raise InputError(
                f"{path}: is not a whole zip archive ({error}) and was removed; run this again, or find "
                f"{source.name} through {page}, put it into {output}, and run this again"
            ) from None
    with atomic_write(done, "w") as file:
        file.writelines(f"{line}\n" for line in (url, *(names if source.unpack == "flat" else ())))
    if source.unpack and not keep_archive:
        path.unlink()
    made = f"{len(names):,} files unpacked" if source.unpack else f"{path.stat().st_size:,} bytes"
    print(f"{source.name}: {made}")


def _is_there(source: Source, path: Path, done: Path) -> bool:
    """Whether what an earlier run has marked as done is still there; of folders only the mark is looked at."""
    if not source.unpack:
        return path.exists()
    return all((path.parent / name).exists() for name in done.read_text("utf-8").splitlines()[1:])


# Fetching ---------------------------------------------------------------------------------------


def fetch(url: str, path: Path) -> None:
    """Download to `path`, by way of `path`.part, which a later call continues.

    Raises InputError when the server refuses, when the transfer keeps breaking off, when the
    length is not the one announced, or when the disk is full.
    """
    part, mark = Path(f"{path}.part"), Path(f"{path}.part.version")
    idle = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            whole = _transfer(url, part, mark, have)
        except urllib.error.HTTPError as error:
            if error.code < 500 or idle == ATTEMPTS - 1:
                moved = ": it has moved or been taken down" if error.code in (403, 404, 410) else ""
                raise InputError(f"{url}: the server answers {error.code} {error.reason}{moved}") from None
            reason = f"the server answers {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = f"no connection ({getattr(error, 'reason', None) or error or type(error).__name__})"
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


def _transfer(url: str, part: Path, mark: Path, have: int) -> bool:
    """One request, from byte `have` on. True when the file is then whole."""
    request = urllib.request.Request(url, headers={"User-Agent": "vrl-download/1", "Accept-Encoding": "identity"})
    version = mark.read_text() if mark.exists() else ""
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version:  # the server sends the whole file when it is not the one of which we have a part
            request.add_header("If-Range", version)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return True
        part.unlink()  # longer than the file that is there now
        return False
    with response:
        total = response.headers.get("Content-Length")
        total = int(total) if total and total.isdigit() else None
        if response.status == 206:
            span, _, size = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if span.split("-")[0] != str(have):
                raise InputError(
                    f"{url}: the server resumes at another byte than asked; remove {part} and run this again"
                )
            total = int(size) if size.isdigit() else (None if total is None else have + total)
        else:
            have = 0
            etag = response.headers.get("ETag", "")
            mark.write_text(etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", ""))
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
            size = file.tell()
    if total is not None and size > total:
        part.unlink()
        raise InputError(f"{url}: sent {size} bytes but had announced {total}; run this again")
    return total is None or size == total


# Unpacking --------------------------------------------------------------------------------------


def unpack(archive: zipfile.ZipFile, output: Path, flat: bool) -> list[str]:
    """Unpack into `output`, checking every file's checksum. Returns the files' names below it.

    flat: leave the archive's folders out. Raises InputError when a name would lead out of the
    folder or is a link, and zipfile.BadZipFile when the archive is damaged. A file that is there
    with the right size is kept, so that unpacking can resume.
    """
    members = [
        (info, _target(archive, info, output, flat))
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    room = shutil.disk_usage(output).free
    missing = [(info, path) for info, path in members if not path.exists() or path.stat().st_size != info.file_size]
    if sum(info.file_size for info, _ in missing) > room:
        raise InputError(f"{output}: too little room to unpack {archive.filename}; free the disk and run this again")
    for info, path in tqdm(
        missing, f"unpacking {Path(archive.filename).name}", unit=" files", disable=None, leave=False
    ):
        with archive.open(info) as source, atomic_write(path) as file:
            shutil.copyfileobj(source, file, BLOCK)
    return [str(path.relative_to(output)) for _, path in members]


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo, output: Path, flat: bool) -> Path:
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    linked = stat.S_ISLNK(info.external_attr >> 16)
    if linked or not parts or parts[0] == "/" or ".." in parts or any(":" in part for part in parts):
        raise InputError(
            f"{archive.filename}: {info.filename!r} would be written outside of {output}; "
            "the archive is not what it should be: remove it"
        )
    return output.joinpath(*map(safe_file_name, parts[-1:] if flat else parts))


def _check(archive: zipfile.ZipFile) -> None:
    bad = archive.testzip()
    if bad is not None:
        raise zipfile.BadZipFile(f"{bad} is damaged")


if __name__ == "__main__":
    sys.exit(main())

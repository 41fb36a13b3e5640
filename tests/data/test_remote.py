"""Downloads against a real server on the loopback interface, which cuts connections, changes files and refuses."""

from __future__ import annotations

import hashlib
import http.server
import re
import stat
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrec.core.errors import DataError
from agentrec.data.download import SOURCES, Source, cache_folder, load_named
from agentrec.data.remote import extract_zip, fetch, file_hash

CONTENT = bytes(range(256)) * 4000


class Shelf(http.server.ThreadingHTTPServer):
    """Serves bytes by path, with Range and If-Range, and cuts the first ``cuts`` answers after ``cut_at`` bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/file.bin": CONTENT}
        self.cuts, self.cut_at = 0, 300_000
        self.tags = True
        self.shift = 0  # how far Content-Range is from what was asked for
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        shelf = self.server
        content = shelf.files.get(self.path)
        shelf.asked.append(self.headers.get("Range"))
        if content is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        wanted = self.headers.get("Range") if self.headers.get("If-Range") == tag else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start + shelf.shift}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        if shelf.tags:
            self.send_header("ETag", tag)
        self.end_headers()
        cut = shelf.cuts > 0
        shelf.cuts -= cut
        self.wfile.write(content[start : start + shelf.cut_at] if cut else content[start:])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once_and_pinned(shelf, tmp_path):
    target = tmp_path / "cache" / "file.bin"
    assert fetch(f"{shelf.url}/file.bin", target) == target
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["file.bin", "file.bin.sha256"]
    fetch(f"{shelf.url}/file.bin", target)
    assert shelf.asked == [None]
    target.write_bytes(b"edited")
    with pytest.raises(DataError, match=r"has sha256 .*; expected .*delete it"):
        fetch(f"{shelf.url}/file.bin", target)


def test_a_cut_connection_is_resumed_at_once(shelf, tmp_path):
    shelf.cuts = 2
    fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert shelf.asked == [None, "bytes=300000-", "bytes=600000-"]


def test_a_download_that_keeps_failing_goes_on_next_time(shelf, tmp_path):
    shelf.cuts = 3
    target = tmp_path / "file.bin"
    with pytest.raises(DataError, match=r"cut off 3 times, last at 900000 bytes.*run the command again"):
        fetch(f"{shelf.url}/file.bin", target)
    assert not target.exists()
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:900_000]
    shelf.asked.clear()
    fetch(f"{shelf.url}/file.bin", target, checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    assert shelf.asked == ["bytes=900000-"]
    assert target.read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]


def test_a_file_that_changed_in_between_is_fetched_anew(shelf, tmp_path):
    shelf.cuts = 3
    with pytest.raises(DataError, match="cut off"):
        fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin")
    shelf.files["/file.bin"] = CONTENT[::-1]
    fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1]


def test_a_server_without_versions_starts_over(shelf, tmp_path):
    shelf.tags, shelf.cuts = False, 1
    fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert shelf.asked == [None, None]


def test_a_server_that_sends_another_range_is_asked_for_everything(shelf, tmp_path):
    shelf.cuts, shelf.shift = 1, 5
    fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert shelf.asked == [None, "bytes=300000-", None]


def test_a_complete_part_is_not_stuck(shelf, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    (tmp_path / "file.bin.part.version").write_text(f'"{hashlib.sha256(CONTENT).hexdigest()}"', encoding="utf-8")
    fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_wrong_bytes_are_refused_and_removed(shelf, tmp_path):
    with pytest.raises(DataError, match=f"has md5 .*; expected {'0' * 32}"):
        fetch(f"{shelf.url}/file.bin", tmp_path / "file.bin", checksum=f"md5:{'0' * 32}")
    assert not any(name.endswith((".bin", ".part")) for name in names(tmp_path))


def test_refusals_name_the_remedy(shelf, tmp_path):
    with pytest.raises(DataError, match=r"answered 404 .* local folder"):
        fetch(f"{shelf.url}/absent.bin", tmp_path / "absent.bin")
    address = shelf.url.rpartition(":")[0]
    with pytest.raises(DataError, match=r"could not be fetched .* put it at .*file\.bin, or load a local folder"):
        fetch(f"{address}:1/file.bin", tmp_path / "file.bin")
    with pytest.raises(DataError, match="could not be fetched"):
        fetch("nonsense", tmp_path / "file.bin")


def archive(path: Path, members: dict[str, str], *, link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as content:
        for name, text in members.items():
            content.writestr(name, text)
        if link is not None:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            content.writestr(info, "/etc/passwd")
    return path


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_members_cannot_leave_the_folder(tmp_path, name):
    path = archive(tmp_path / "bad.zip", {"good.txt": "good", name: "evil"})
    with pytest.raises(DataError, match="leads out of its folder"):
        extract_zip(path, tmp_path / "inside" / "out")
    assert not list(tmp_path.rglob("*.txt"))
    assert not (tmp_path / "inside" / "out").exists()


def test_links_and_damaged_archives_are_refused(tmp_path):
    with pytest.raises(DataError, match="leads out"):
        extract_zip(archive(tmp_path / "link.zip", {}, link="innocent"), tmp_path / "out")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="no readable zip"):
        extract_zip(tmp_path / "broken.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_named_data_set_comes_from_the_server_then_from_the_cache(shelf, tmp_path):
    ratings = "userId,movieId,rating,timestamp\n1,10,4.5,100\n1,20,3.0,50\n"
    movies = "movieId,title,genres\n10,Ten (2002),Comedy|Drama\n20,Twenty,(no genres listed)\n"
    made = archive(tmp_path / "ml.zip", {"ml/ratings.csv": ratings, "ml/movies.csv": movies})
    shelf.files["/ml.zip"] = made.read_bytes()
    sources = {"tiny": Source("tiny", "movielens", (f"{shelf.url}/ml.zip",), f"md5:{file_hash(made, 'md5')}")}
    data = load_named("tiny", sources=sources, cache=tmp_path / "cache")
    assert (data.name, data.catalogue.texts()) == ("tiny", ["Ten (2002). Comedy, Drama", "Twenty"])
    shelf.files.clear()
    assert load_named("tiny", sources=sources, cache=tmp_path / "cache").fingerprint == data.fingerprint
    with pytest.raises(DataError, match="those that can be fetched are tiny"):
        load_named("huge", sources=sources)


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("AGENTREC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("AGENTREC_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "agentrec"


def test_sources_are_complete():
    for source in SOURCES.values():
        assert all(url.startswith("https://") for url in source.files)
        assert len(source.files) == (2 if source.layout == "amazon" else 1)
        assert source.checksum is None or re.fullmatch("md5:[0-9a-f]{32}", source.checksum)

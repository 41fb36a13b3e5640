"""A service as a recommender, against a real one on this machine."""

import json
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from agentrec.core.config import from_mapping
from agentrec.core.errors import ConfigError, RecommenderError
from agentrec.core.types import Catalogue, Histories
from agentrec.evaluation.adapters.endpoint import Endpoint, Settings, identity, shown_url
from agentrec.evaluation.contract import checked_recommend
from agentrec.evaluation.ranking import evaluate
from agentrec.testing.recommenders import RecommenderTests
from agentrec.testing.worlds import tiny_world

CATALOGUE = Catalogue(("a", "b", "c", "7"))
ALICE = Histories.from_lists([[0, 1]], [0])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@contextmanager
def serve(answer):
    """A server whose POST is answered by ``answer(body, headers)``: status, headers, bytes (or JSON content)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, content = answer({"path": self.path, **body}, self.headers)
            if status == 0:  # hang up
                self.close_connection = True
                return
            payload = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(payload)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/recommendations"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def endpoint(url, **settings):
    return Endpoint(url, CATALOGUE, ("alice", "bob"), settings=Settings(**{"backoff": 0.01, **settings}))


class TestEndpoint(RecommenderTests):
    """A service that knows the tiny world."""

    min_recall_at_1 = 1.0

    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls, world):
        ids, index, oracle = world.catalogue.ids, world.catalogue.index(), world.oracle()

        def answer(body, _):
            history = Histories.from_lists([[index[item] for item in body["history"]]])
            n, seen = body["n"] + len(body["exclude"]), set(body["exclude"])
            ranked = [ids[item] for item in oracle.recommend(history, n).items[0] if item >= 0]
            return 200, {}, {"items": [{"id": item} for item in ranked if item not in seen][: body["n"]]}

        with serve(answer) as url:
            yield Endpoint(url, world.catalogue)


def test_what_travels():
    asked = []

    def answer(body, headers):
        asked.append((body, headers["Content-Type"], headers["Authorization"]))
        return 200, {}, {"items": [{"id": "c", "score": 0.5}, {"item_id": 7, "score": 0.25}], "model": "x"}

    histories = Histories.from_lists([[0, 1, 0], []], [0, -1])
    with serve(answer) as url:
        service = endpoint(url, parallel=1)
        found = checked_recommend(service, histories, 3, exclude_seen=True)
        service.recommend(ALICE, 2)
    path = "/v1/recommendations"
    assert [body for body, _, _ in asked] == [
        {"path": path, "user_id": "alice", "history": ["a", "b", "a"], "n": 3, "exclude": ["a", "b"]},
        {"path": path, "user_id": None, "history": [], "n": 3, "exclude": []},
        {"path": path, "user_id": "alice", "history": ["a", "b"], "n": 2, "exclude": []},
    ]
    assert {(kind, token) for _, kind, token in asked} == {("application/json", None)}
    assert found.items.tolist() == [[2, 3, -1], [2, 3, -1]]
    assert found.scores.tolist() == [[0.5, 0.25, -np.inf]] * 2
    assert (service.short_lists, service.repeated, len(service.latencies)) == (2, 0, 3)
    assert all(0 < seconds < 5 for seconds in service.latencies)


def test_requests_run_in_parallel_and_answers_keep_the_order_of_users():
    running, most, lock = 0, 0, threading.Lock()

    def answer(body, _):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02 * (1 + len(body["history"]) % 3))
        with lock:
            running -= 1
        return 200, {}, {"items": body["history"]}

    lists = [[row % 4] for row in range(24)]
    with serve(answer) as url:
        found = endpoint(url, parallel=3).recommend(Histories.from_lists(lists), 1)
    assert found.items.tolist() == lists
    assert 1 < most <= 3


@pytest.mark.parametrize("failure", [(503, {}), (500, {}), (0, {}), (429, {"Retry-After": "0.1"}), (429, {})])
def test_a_flaky_service_is_asked_again(failure):
    seen = []

    def answer(body, _):
        seen.append(time.perf_counter())
        if len(seen) <= 2:
            return *failure, b"busy"
        return 200, {}, {"items": ["b"]}

    with serve(answer) as url:
        service = endpoint(url, retries=2)
        assert service.recommend(ALICE, 1).items.tolist() == [[1]]
    assert (service.repeated, service.usage, len(seen)) == (2, {"repeated_requests": 2.0}, 3)
    assert seen[1] - seen[0] >= (0.1 if failure[1] else 0.01)
    assert len(service.latencies) == 1


def test_a_pause_may_be_a_date():
    moments = []

    def answer(body, _):
        moments.append(time.perf_counter())
        if len(moments) == 1:
            return 429, {"Retry-After": formatdate(time.time() + 1.5, usegmt=True)}, b""
        return 200, {}, {"items": ["b"]}

    with serve(answer) as url:
        endpoint(url, backoff=0).recommend(ALICE, 1)
    assert 0.1 < moments[1] - moments[0] < 2


@pytest.mark.parametrize(
    ("reply", "settings", "message"),
    [
        ((503, {}, b"down  for\nrepair"), {"retries": 1}, r"status 503 after 2 attempts \(down for repair\); expected"),
        ((0, {}, b""), {"retries": 1}, r"gave no answer after 2 attempts \(ConnectionError\)"),
        ((429, {"Retry-After": "3600"}, b""), {}, "answered 429 and asks for a pause of 3600 seconds; expected at mo"),
        ((429, {}, b""), {"retries": 0}, r"answered status 429 \(no text\); expected 200, so lower parallel"),
        ((401, {}, b"who?"), {}, r"answered status 401 \(who\?\); expected 200, so name the variable of a valid token"),
        ((404, {}, b"nope"), {}, r"answered status 404 \(nope\); expected 200"),
        ((302, {"Location": "/elsewhere"}, b""), {}, "answered status 302"),
        ((200, {}, b"<html>"), {}, r"status 200 and no JSON for user 'alice' \(b'<html>'\); expected {\"items\""),
        ((200, {}, b'{"items": ["a"'), {}, "no JSON for user 'alice'"),
        ((200, {}, b"\xff\xfe"), {}, "no JSON"),
        ((200, {}, ["a"]), {}, "answered status 200 and a JSON list for user .alice.; expected an object with a list"),
        ((200, {}, {"recs": [], "n": 1}), {}, "status 200 and an object with the fields recs, n for user 'alice'"),
        ((200, {}, {"items": "a"}), {}, 'status 200 and a str under "items"'),
        ((200, {}, {"items": ["a", None]}), {}, r"status 200 and None as items\[1\] for user 'alice'; expected an id"),
        ((200, {}, {"items": [{"sku": "a"}]}), {}, r"{'sku': 'a'} as items\[0\] for user 'alice'; expected an id, or"),
        ((200, {}, {"items": [1.5]}), {}, r"1.5 as items\[0\]"),
        ((200, {}, {"items": [["a", 1]]}), {}, r"\['a', 1\] as items\[0\]"),
        ((200, {}, {"items": ["a", "zz"]}), {}, "answers the unknown item 'zz' for user 'alice'; expected ids of the"),
        ((200, {}, {"items": ["a", "a"]}), {}, "answers the item 'a' more than once for user 'alice'"),
        ((200, {}, {"items": [{"id": "a", "score": 1}, {"id": "b", "score": 2}]}), {}, "scores that increase for user"),
        ((200, {}, {"items": [{"id": "a", "score": "high"}]}), {}, "expected a finite number as score"),
        ((200, {}, b'{"items": [{"id": "a", "score": NaN}]}'), {}, "expected a finite number as score"),
        ((200, {}, {"items": [{"id": "a", "score": 1}, "b"]}), {}, "some items with a score and some without"),
        ((200, {}, {"items": ["a"], "x": "y" * 2000}), {"max_bytes": 1000}, "more than 1000 bytes for n = 2"),
        ((200, {"Content-Length": "500"}, b"{}"), {"retries": 0, "timeout": 0.2}, "gave no answer"),
    ],
)
def test_what_was_not_agreed_is_named(reply, settings, message):
    with serve(lambda *_: reply) as url, pytest.raises(RecommenderError, match=message) as got:
        endpoint(url, **settings).recommend(ALICE, 2)
    assert str(got.value).startswith(url)


def test_a_slow_service_and_one_that_is_not_there():
    def slow(*_):
        time.sleep(0.4)
        return 200, {}, {"items": []}

    with serve(slow) as url, pytest.raises(RecommenderError, match=r"no answer after 2 attempts \(ReadTimeout\)"):
        endpoint(url, timeout=0.1, retries=1).recommend(ALICE, 1)
    with pytest.raises(RecommenderError, match=r"gave no answer \(ConnectionError\); expected a running service"):
        endpoint(url, retries=0).recommend(ALICE, 1)


def test_unknown_items_may_be_dropped_and_are_counted():
    with serve(lambda *_: (200, {}, {"items": ["x", "b", "y"]})) as url:
        service = endpoint(url, unknown_items="drop")
        assert service.recommend(ALICE, 2).items.tolist() == [[1, -1]]
    assert (service.unknown_items, service.short_lists) == (2, 1)
    assert service.provenance["unknown_items"] == 2


def test_secrets_stay_secret(monkeypatch, tmp_path):
    headers = []

    def answer(body, got):
        headers.append((body["path"], got["Authorization"]))
        return 403, {}, f"no entry for {got['Authorization']}".encode()

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("MY_TOKEN", "s3cret-t0ken")
    with serve(answer) as url:
        private = url.replace("http://", "http://me:passw0rd@") + "?key=hidden"
        service = endpoint(private, token_env="MY_TOKEN")
        with pytest.raises(RecommenderError, match="answered status 403") as got:
            service.recommend(ALICE, 1)
        basic = endpoint(private)
        with pytest.raises(RecommenderError):
            basic.recommend(ALICE, 1)
        with pytest.raises(RecommenderError):
            endpoint(url).recommend(ALICE, 1)
    paths, tokens = zip(*headers, strict=True)
    assert paths == ("/v1/recommendations?key=hidden",) * 2 + ("/v1/recommendations",)
    assert tokens == ("Bearer s3cret-t0ken", "Basic bWU6cGFzc3cwcmQ=", None)  # no ~/.netrc
    with pytest.raises(RecommenderError) as gone:
        endpoint(private, token_env="MY_TOKEN", retries=0).recommend(ALICE, 1)
    for text in (str(got.value), str(gone.value), json.dumps(service.provenance), repr(service)):
        assert not any(secret in text for secret in ("s3cret", "passw0rd", "hidden", "MY_TOKEN", "me:"))
    assert gone.value.__cause__ is None
    assert service.provenance["url"] == url
    assert service.provenance["with_token"] is True
    assert identity(url, Settings())["with_token"] is False


@pytest.mark.parametrize("token", [None, "", " ", "two\nlines", "smørrebrød"])
def test_a_token_must_be_one(monkeypatch, token):
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("MY_TOKEN", token)
    with pytest.raises(ConfigError, match="the environment variable MY_TOKEN holds no token"):
        endpoint("http://localhost/", token_env="MY_TOKEN")


@pytest.mark.parametrize("url", ["localhost:8000/x", "ftp://host/x", "http://", "http://host:port/", ""])
def test_an_address_must_be_a_url(url):
    with pytest.raises(ConfigError, match="the endpoint's address is no URL; expected http"):
        Endpoint(url, CATALOGUE)


def test_shown_urls():
    assert shown_url("http://[::1]:80/a?b#c") == "http://[::1]:80/a"
    assert shown_url("https://u@Host/") == "https://host/"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parallel": 0}, "parallel is 0; expected 1 or more"),
        ({"timeout": 0}, "timeout is 0.* more than 0 seconds"),
        ({"retries": -1}, "retries is -1; expected 0 or more"),
        ({"unknown_items": "keep"}, "'unknown_items' is 'keep'; expected one of error, drop"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Settings, settings)


def test_it_is_evaluated_with_its_own_latencies():
    world = tiny_world()
    ids, index, follows = world.catalogue.ids, world.catalogue.index(), world.next_item

    def answer(body, _):
        return 200, {}, {"items": [ids[follows[index[body["history"][-1]]]]]}

    with serve(answer) as url:
        service = Endpoint(url, world.catalogue)
        result = evaluate({"service": service}, world, ["recall@1"])
    assert result.systems["service"]["recall@1"].mean == 1.0
    assert len(service.latencies) == len(world.reveal("test"))

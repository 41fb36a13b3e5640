"""The five-minute guide of evals/my_recommender.md: what it shows is run, word by word, on a small CSV."""

import json
import re
import shlex
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from typer.testing import CliRunner

from agentrec.cli.app import app

GUIDE = (Path(__file__).resolve().parents[2] / "evals" / "my_recommender.md").read_text(encoding="utf-8")
LENGTH = 30


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder as the guide's reader has it: everybody walks around 40 items."""
    monkeypatch.chdir(tmp_path)
    rows = [f"u{user},item-{(user + step) % 40:02d},{1_700_000_000 + step}" for user in range(40) for step in range(6)]
    Path("interactions.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    return tmp_path


def following(history: list[str]) -> list[str]:
    last = int(history[-1].removeprefix("item-"))
    return [f"item-{(last + step) % 40:02d}" for step in range(1, LENGTH + 1)]


def command(text: str, *more: str) -> dict:
    done = CliRunner().invoke(app, [*shlex.split(text)[1:], *more, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def recall(found: dict, name: str) -> float:
    return found["systems"][name]["recall@1"]["mean"]


def test_from_a_csv_to_a_result(place, capsys):
    first, notebook = blocks("python")
    exec(compile(first, "guide", "exec"), {})
    questions = pd.read_csv("questions.csv")
    assert len(questions) == 40
    assert questions["history"][0] == "item-00 item-01 item-02 item-03 item-04"
    rows = [
        {"user": row.user, "item": item, "rank": rank}
        for row in questions.itertuples()
        for rank, item in enumerate(following(row.history.split())[:20], 1)
    ]
    pd.DataFrame(rows).to_csv("predictions.csv", index=False)
    found = command(blocks("bash")[0])
    assert recall(found, "mine") == 1.0
    assert recall(found, "popularity") < 0.5
    assert (Path(found["folder"]) / "report.html").is_file()
    exec(compile(notebook, "guide", "exec"), {})
    assert "mine" in capsys.readouterr().out


def test_from_a_function(place):
    Path("my_model.py").write_text(
        "def recommend(histories, n):\n"
        "    last = [int(history[-1].removeprefix('item-')) for history in histories]\n"
        "    return [[f'item-{(item + step) % 40:02d}' for step in range(1, n + 1)] for item in last]\n"
    )
    assert recall(command(blocks("bash")[1]), "mine") == 1.0


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"items": following(asked["history"])[: asked["n"]]}
        self.send_response(200 if self.headers["Authorization"] == "Bearer secret" else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments):
        pass


def test_from_a_service(place, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    server = HTTPServer(("127.0.0.1", 0), Service)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        text = blocks("bash")[2].replace("https://host", f"http://127.0.0.1:{server.server_port}")
        found = command(text)
    finally:
        server.shutdown()
        server.server_close()
    assert recall(found, "mine") == 1.0
    assert "secret" not in json.dumps(found)


def test_leaks_are_looked_for(place):
    found = command(blocks("bash")[3])
    assert found["problems"] == []

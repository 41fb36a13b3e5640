"""A small server with OpenAI's chat API that misbehaves to order."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Handler(BaseHTTPRequestHandler):
    """Answers what the server's plan says next, and its default answer after that."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers), None))
        self._say(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        step = self.server.plan.pop(0) if self.server.plan else {}
        if step.get("drop"):
            self.close_connection = True
            self.connection.close()
            return
        time.sleep(step.get("late", 0))
        text = step.get("text", '{"order": 7}')
        answer = {
            "choices": [{"message": {"content": text}, "finish_reason": step.get("finish", "stop")}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3},
        }
        self._say(step.get("status", 200), step.get("body", answer), step.get("headers", {}), step.get("drip", 0))

    def _say(self, status, content, headers=(), drip=0):
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        try:
            for place in range(0, len(data), 1 if drip else len(data) or 1):
                self.wfile.write(data[place : place + (1 if drip else len(data))])
                self.wfile.flush()
                time.sleep(drip)
        except OSError:
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """Its ``plan`` is a list of steps (status, body, text, late, drip, drop), ``seen`` what it was sent."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.plan, made.seen, made.models = [], [], ["tiny"]
    made.url = f"http://127.0.0.1:{made.server_port}/v1"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()

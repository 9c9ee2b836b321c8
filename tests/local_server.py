"""A server on 127.0.0.1: files with ranges, a small stand-in for the Hub, and bad connections."""

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 4000  # about a megabyte
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = {
    "config.json": b'{"model_type": "clip"}',
    "model.safetensors": CONTENT,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"the same weights again",
    "flax_model.msgpack": b"not needed",
    "README.md": b"not needed",
}


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT and a Hub repository on 127.0.0.1, as badly as a test asks for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests = []  # (method, path, Range)
        self.cuts = 0  # so many replies break off in the middle
        self.tag = '"one"'
        self.ranges = True
        self.busy = 0  # so many replies are 503

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.requests.append((self.command, self.path, self.headers.get("Range")))
        if self.server.busy:
            self.server.busy -= 1
            return self.reply(503, b"later")
        if self.path.startswith("/weights"):
            return self.send_ranged(CONTENT, {"ETag": self.server.tag})
        if "/api/models/org/repo" in self.path:
            return self.describe()
        if "/org/repo/resolve/" in self.path:
            name = self.path.rpartition("/")[2]
            if name in REPOSITORY:
                data = REPOSITORY[name]
                tag = f'"{hashlib.sha256(data).hexdigest()}"'
                return self.send_ranged(data, {"ETag": tag, "X-Repo-Commit": COMMIT})
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        code = "RepoNotFound" if "org/" in self.path else ""
        return self.reply(404, b"", {"X-Error-Code": code})

    def describe(self):
        """What the Hub says of the repository."""
        if "/revision/nowhere" in self.path:
            return self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if "/tree/" in self.path:
            files = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in REPOSITORY.items()
            ]
            return self.reply(200, json.dumps(files).encode())
        files = [{"rfilename": name, "size": len(data)} for name, data in REPOSITORY.items()]
        return self.reply(
            200, json.dumps({"id": "org/repo", "sha": COMMIT, "siblings": files}).encode()
        )

    def send_ranged(self, data, headers):
        start, asked = 0, self.headers.get("Range")
        current = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if asked and self.server.ranges and current:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start >= len(data):
                return self.reply(416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.reply(206 if start else 200, data[start:], headers)

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        cut = self.server.cuts > 0 and self.command == "GET" and status in {200, 206}
        if cut:
            self.server.cuts -= 1
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut


@contextmanager
def running():
    """A server in a thread of its own, until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

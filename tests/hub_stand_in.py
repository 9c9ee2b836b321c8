"""A stand-in for the Hub: repositories in memory, uploads, and parts of files."""

import base64
import hashlib
import http.server
import json
import re
import threading
from contextlib import contextmanager

TOKEN = "hf_right"
READER = "hf_reader"  # a token that may not write
_LARGE_BYTES = 10_000  # beyond these a file goes through LFS


class Hub(http.server.ThreadingHTTPServer):
    """Serves repositories on 127.0.0.1 as huggingface_hub asks for them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories = {}  # {name: {"private": bool, "files": {name: bytes}, "commits": []}}
        self.objects = {}  # what LFS has, by digest
        self.requests = []  # (method, path)
        self.refuses_commits = False
        self.sent = 0  # bytes of files
        self.cut_after = None  # so many replies with parts of files, then none any more

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.note()
        if found := re.match(r"/api/models/([^/]+/[^/]+)(/revision/\w+)?$", path):
            return self.describe(found[1])
        if found := re.match(r"/api/models/([^/]+/[^/]+)/tree/", path):
            files = self.server.repositories[found[1]]["files"].items()
            return self.reply([_entry(name, data) for name, data in files])
        if found := re.match(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)$", path):
            repository = self.server.repositories.get(found[1])
            data = repository and repository["files"].get(found[2])
            if data is None:
                return self.reply({}, 404, {"X-Error-Code": "EntryNotFound"})
            digest = hashlib.sha256(data).hexdigest()
            headers = {"ETag": f'"{digest}"', "X-Repo-Commit": _commit(repository)}
            return self.send(data, headers)
        self.reply({}, 404)

    def send(self, data, headers):
        """A file, or the part of it that is asked for."""
        asked = re.match(r"bytes=(\d+)-(\d+)$", self.headers.get("Range", ""))
        if asked:
            if self.server.cut_after is not None:
                self.server.cut_after -= 1
                if self.server.cut_after < 0:
                    return self.reply({"error": "no"}, 403)
            start, end = int(asked[1]), min(int(asked[2]), len(data) - 1)
            headers |= {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            data = data[start : end + 1]
        if self.command == "GET":
            self.server.sent += len(data)
        self.reply(data, 206 if asked else 200, headers)

    def do_PUT(self):
        digest = self.note().rpartition("/")[2]
        data = self.body()
        assert hashlib.sha256(data).hexdigest() == digest
        self.server.objects[digest] = data
        self.reply({})

    def do_POST(self):
        path, body = self.note(), self.body()
        if path == "/api/validate-yaml":
            return self.reply({"warnings": [], "errors": []})
        writes = self.headers.get("Authorization")
        if writes != f"Bearer {TOKEN}":
            status = 403 if writes == f"Bearer {READER}" else 401
            return self.reply({"error": "no"}, status)
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return self.batch(json.loads(body))
        found = re.match(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main$", path)
        if found and found[2] == "preupload":
            return self.preupload(json.loads(body))
        if found and self.server.refuses_commits:
            return self.reply({"error": "the branch has moved"}, 412)
        if found:
            return self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        self.reply({}, 404)

    def create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        private = asked.get("private") is True or asked.get("visibility") == "private"
        new = {"private": private, "files": {".gitattributes": b""}, "commits": []}
        is_new = self.server.repositories.setdefault(name, new) is new
        url = {"url": f"{self.server.url}/{name}"}
        self.reply(url if is_new else {**url, "error": "exists"}, 200 if is_new else 409)

    def describe(self, name):
        repository = self.server.repositories.get(name)
        if repository is None:
            return self.reply({}, 404, {"X-Error-Code": "RepoNotFound"})
        files = [{"rfilename": n, "size": len(d)} for n, d in repository["files"].items()]
        about = {"id": name, "sha": _commit(repository), "private": repository["private"]}
        self.reply({**about, "siblings": files})

    def preupload(self, asked):
        modes = ["lfs" if file["size"] > _LARGE_BYTES else "regular" for file in asked["files"]]
        listed = [
            {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            for file, mode in zip(asked["files"], modes, strict=True)
        ]
        self.reply({"files": listed})

    def batch(self, asked):
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/objects/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def commit(self, name, lines):
        repository = self.server.repositories[name]
        files = dict(repository["files"])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repository["files"] = files
        repository["commits"].append(lines[0]["value"]["summary"])
        commit = _commit(repository)
        url = f"{self.server.url}/{name}/commit/{commit}"
        self.reply({"success": True, "commitOid": commit, "commitUrl": url})

    def note(self):
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path))
        return path

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def reply(self, content, status=200, headers=()):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entry(name, data):
    return {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}


def _commit(repository):
    return f"{len(repository['commits']):040x}"


@contextmanager
def running():
    """A stand-in in a thread of its own, until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()

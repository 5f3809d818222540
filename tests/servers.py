"""Servers that tests read from: HTTP with and without ranges, and S3."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

IDENTITIES = {
    "identities": [
        {
            "name": "tester",
            "credentials": [{"accessKey": "key", "secretKey": "secret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": "reader", "secretKey": "secret"}],
            "actions": ["Read", "List"],
        },
    ]
}


@dataclass
class S3Server:
    """A server under way, and the options of s3fs to reach it."""

    process: subprocess.Popen
    options: dict


@dataclass
class HttpFolder:
    """A folder that is served by HTTP, and how."""

    folder: Path
    url: str = ""
    ranges: bool = True
    status: int = 200
    unranged: str | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0

    def count(self, method="GET"):
        return sum(kind == method for kind, _ in self.requests)


@contextlib.contextmanager
def http_folder(folder):
    """Serve a folder until the end of the block."""
    served = HttpFolder(folder)

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

        def do_HEAD(self):
            self.answer("HEAD")

        def do_GET(self):
            self.answer("GET")

        def answer(self, method):
            served.requests.append((method, self.path))
            path = Path(self.translate_path(self.path))
            status = served.status if served.status != 200 or path.is_file() else 404
            data = path.read_bytes() if status == 200 else b""
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
            part = data
            has_ranges = served.ranges and not self.path.endswith(served.unranged or "?")
            if asked and has_ranges and data:
                start, end = int(asked[1] or 0), int(asked[2] or len(data) - 1)
                if not asked[1]:
                    start, end = len(data) - end, len(data) - 1
                status, part = 206, data[start : end + 1]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
            if data:
                self.send_header("Last-Modified", str(os.stat(path).st_mtime_ns))
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if method == "GET":
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(part)
                    served.sent += len(part)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port():
    """Find a port that nobody listens at; SeaweedFS uses the one 10000 above it too."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port < 55000:
                with contextlib.suppress(OSError):
                    other.bind(("127.0.0.1", port + 10000))
                    return port


def find_weed():
    """Path of SeaweedFS, which a test dependency brings; None where it is not installed."""
    return shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )


@contextlib.contextmanager
def s3_server(folder):
    """Run SeaweedFS until the end of the block, on what it left in the folder before."""
    (folder / "s3.json").write_text(json.dumps(IDENTITIES))
    (folder / "data").mkdir(exist_ok=True)
    known = folder / "ports.json"  # it knows itself by them
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    ports = json.loads(known.read_text()) if known.exists() else ports
    known.write_text(json.dumps(ports))
    command = [find_weed(), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-volume.max=8", "-master.volumeSizeLimitMB=64"]
    command += ["-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-master.telemetry=false"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    # these would be 8181 and 9101, whoever else has them
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    options = {
        "key": "key",
        "secret": "secret",
        "endpoint_url": f"http://127.0.0.1:{ports['s3']}",
    }
    try:
        _wait_until_ready(server, options, folder / "log")
        yield S3Server(server, options)
    finally:
        server.kill()  # nothing of it is kept, and it takes long to end in order
        server.wait()


def _wait_until_ready(server, options, log):
    import s3fs

    give_up = time.monotonic() + 60
    while True:
        assert server.poll() is None, log.read_text()
        try:
            fs = s3fs.S3FileSystem(**options, skip_instance_cache=True)
            if not fs.exists("pictures"):
                fs.mkdir("pictures")
            fs.pipe_file("pictures/ready", b"ready")
        except Exception:  # noqa: BLE001
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.2)
        else:
            return

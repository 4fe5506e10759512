"""Serving the built book while it is written: a change of its sources builds it again, and open pages reload."""

import functools
import io
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from lmam_book.build.manifest import SOURCES, say, skipped
from lmam_core.errors import LmamError

SETTINGS = ("_config.yml", "_toc.yml", "requirements.lock")
"""What the pages depend on in the top folder."""
BUILT = "/built"
"""The address that tells which build the pages are of."""
SCRIPT = f"""<script>
(async () => {{
  const built = () => fetch("{BUILT}").then(answer => answer.text()).catch(() => "");
  const loaded = await built();
  setInterval(async () => {{ const now = await built(); if (now && now !== loaded) location.reload(); }}, 1000);
}})();
</script></body>"""


def serve(root: Path, build: Callable[[], None], port: int) -> None:
    """Build, serve `_build/html` on this machine alone, and build again on every change, until interrupted.

    A build that fails says why and leaves the last good one in place.
    """
    root, changed = root.resolve(), threading.Event()
    for arguments in ({"recursive": True}, {"recursive": False}):
        threading.Thread(target=watch_sources, args=[root, changed], kwargs=arguments, daemon=True).start()
    handler = functools.partial(_Pages, directory=str(root / "_build" / "html"))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise LmamError(f"Port {port} is taken ({error.strerror}); name another one: --serve {port + 1}.") from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        while True:
            changed.clear()
            try:
                build()
            except LmamError as error:
                print(error, file=sys.stderr, flush=True)
            say(f"Serving http://localhost:{server.server_port}; waiting for a change, Ctrl-C ends it.")
            changed.wait()
    finally:
        server.shutdown()
        server.server_close()


def watch_sources(root: Path, changed: threading.Event, recursive: bool) -> None:
    """Set `changed` whenever a source changes: in the folders, or, not recursive, one of the settings above them.

    The settings are watched by their folder, since an editor that saves a file by a rename makes it another file.
    """
    from watchfiles import Change, watch

    def ours(_: Change, path: str) -> bool:
        name = Path(path).relative_to(root).as_posix()
        return not skipped(name) if recursive else name in SETTINGS

    folders = [root / name for name in SOURCES if (root / name).is_dir()] if recursive else [root]
    for _ in watch(*folders, watch_filter=ours, recursive=recursive, raise_interrupt=False):
        changed.set()


class _Pages(SimpleHTTPRequestHandler):
    """The built pages, each with the script that loads it again after a build, and kept by no browser."""

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        path = Path(self.translate_path(self.path))
        if self.path == BUILT:
            index = Path(self.directory, "index.html")
            return self._send("text/plain", str(index.stat().st_mtime_ns if index.is_file() else "").encode())
        if self.path.endswith("/"):
            path /= "index.html"
        if path.suffix == ".html" and path.is_file():
            return self._send("text/html; charset=utf-8", path.read_bytes().replace(b"</body>", SCRIPT.encode()))
        return super().send_head()

    def _send(self, kind: str, content: bytes) -> io.BytesIO:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing of each request: the builds' lines are what one looks for."""

"""The real parts around the browser: a stack in memory, its API, the command, and a shop that receives callbacks."""

import contextlib
import json
import os
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The longest wait for anything. The sweep runs every minute.
WAIT = 120


class Server:
    """A server on its own port of 127.0.0.1. `answer` maps method, path, headers and body to status, type and body."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            def do(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, content_type, body = answer(self.command, self.path, self.headers, body)
                # A browser that leaves a page does not read on.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(status)
                    self.send_header("content-type", content_type)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_POST = do

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


class Shop:
    """A shop's webhook. Each path has its own status and its own list of callbacks."""

    def __init__(self):
        self._statuses, self._callbacks, self._changed = {}, {}, threading.Condition()
        self._server = Server(self._receive)

    def webhook(self, name, status=200):
        """The URL of a webhook that responds with `status`."""
        self.answer(name, status)
        return f"{self._server.url}/{name}"

    def answer(self, name, status):
        with self._changed:
            self._statuses[f"/{name}"] = status

    def _receive(self, _method, path, _headers, body):
        with self._changed:
            self._callbacks.setdefault(path, []).append(json.loads(body)["original"])
            self._changed.notify_all()
            return self._statuses.get(path, 404), "text/plain", b""

    def callbacks(self, name):
        with self._changed:
            return list(self._callbacks.get(f"/{name}", []))

    def wait_for(self, name, count):
        """Waits until the webhook has `count` callbacks. Returns those that it has in the end."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._callbacks.get(f"/{name}", [])) >= count, WAIT)
        return self.callbacks(name)


class Desk:
    """A stack that `keypool local` runs, with an empty data folder."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.log = open(folder / "local.log", "w+", encoding="utf-8")
        command = [binary, "local", "--memory", "--port", "0", "--json", "--data-dir", folder / "data"]
        environment = os.environ | {"LOG_LEVEL": "error"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"keypool local did not start: {(folder / 'local.log').read_text()}")
        started = json.loads(line)
        self.url, self.api_key, self.link = started["ready"], started["api_key"], started["console"]
        self.port = int(self.url.rpartition(":")[2])
        self.console = f"{self.url}/console"

    def next_link(self):
        """The link for another browser, which the command prints after the one before was used."""
        lines = (self.folder / "local.log").read_text().split()
        return [word.strip('",}') for word in lines if "/console/open?token=" in word][-1]

    def post(self, endpoint, api_key=None, **parameters):
        """Sends a form like a shop. Returns the status, and the text of the response."""
        body = urllib.parse.urlencode({"api_key": api_key or self.api_key} | parameters).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{endpoint}", body, timeout=WAIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def sell(self, endpoint="random-assign-license-keys", **parameters):
        """Sells license keys. Returns them, and the text of the response."""
        status, text = self.post(endpoint, **parameters)
        response = json.loads(text).get("response", {})
        if status != 200 or "license_keys" not in response:
            raise AssertionError(f"{endpoint} {parameters}: {status} {text[:300]}")
        return [key if isinstance(key, str) else key["license_key"] for key in response["license_keys"]], text

    def keypool(self, *arguments):
        """Runs the command. Returns the JSON values that it prints."""
        command = [self.binary, "--json", "--data-dir", self.folder / "data", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=WAIT)
        # Exit code 3 says that a key or an order does not exist, and 4 that a check has a finding.
        if done.returncode not in (0, 3, 4):
            raise AssertionError(f"keypool {' '.join(arguments)}: exit code {done.returncode}: {done.stderr[-300:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def key(self, license_key):
        return self.keypool("keys", "show", "--", license_key)[0]

    def order(self, order_id):
        return self.keypool("orders", "show", order_id)[0]

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

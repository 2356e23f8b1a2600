"""Runs the functions' binaries like Lambda, with an HTTP API in front of them."""

import base64
import json
import queue
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(answer):
    """Starts an HTTP server on its own port. `answer` maps method, path, headers and body to status, headers and body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, body = answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


class Function:
    """An environment of a function, with its own Lambda Runtime API."""

    def __init__(self, binary, environment):
        self._events, self._answers, self._turn = queue.Queue(), queue.Queue(), threading.Lock()
        own = {"AWS_LAMBDA_FUNCTION_NAME": binary.name, "AWS_LAMBDA_FUNCTION_VERSION": "1"}
        own |= {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_RUNTIME_API": serve(self._runtime_api)}
        self.process = subprocess.Popen([binary], env=environment | own, stdout=subprocess.PIPE, text=True)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stdout), daemon=True).start()

    def _runtime_api(self, method, path, _, body):
        if method == "GET":
            event = self._events.get()
            headers = {
                "lambda-runtime-aws-request-id": "1",
                "lambda-runtime-deadline-ms": str(int(time.time() * 1_000) + 30_000),
                "lambda-runtime-invoked-function-arn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
            }
            return 200, headers, json.dumps(event).encode()
        self._answers.put((path.rpartition("/")[2], json.loads(body)))
        return 202, {}, b""

    def invoke(self, event):
        """Returns `response` or `error`, and the content. Returns `ended` if the process ends."""
        with self._turn:
            self._events.put(event)
            while self.process.poll() is None:
                try:
                    return self._answers.get(timeout=0.2)
                except queue.Empty:
                    continue
            return "ended", None

    def end(self):
        self.process.kill()
        self.process.wait()


def api(functions):
    """Starts an HTTP API that hands requests to functions like API Gateway. Returns its base URL."""

    def answer(method, path, headers, body):
        name = path.rpartition("/")[2]
        kind, answer = functions[name].invoke(event(method, path, headers, body))
        if kind != "response":
            return 502, {}, json.dumps({"title": kind, "detail": answer}).encode()
        return answer["statusCode"], answer.get("headers", {}), answer["body"].encode()

    return f"http://{serve(answer)}"


def event(method, path, headers, body):
    """Makes an event of an HTTP API (payload 2.0)."""
    route = f"{method} {path}"
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "shop"}
    context = {
        "accountId": "123456789012",
        "apiId": "api",
        "domainName": "api.execute-api.eu-central-1.amazonaws.com",
        "domainPrefix": "api",
        "http": http,
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": route,
        "stage": "$default",
        "time": "12/Mar/2026:19:03:58 +0000",
        "timeEpoch": int(time.time() * 1_000),
    }
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in headers.items() if name.lower() != "host"},
        "requestContext": context,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }

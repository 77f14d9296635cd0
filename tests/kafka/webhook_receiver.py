"""A receiver of webhooks, as a process that may be killed: it checks signatures, accepts each id
once and keeps accepted ones in a file.

``python -m tests.kafka.webhook_receiver PORT SECRET FILE [STATUS…]``: with statuses, these are its
first answers, to any request.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Effects:
    """What was accepted: a line for each id, and one for each repeat."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._seen = {line.split()[1] for line in lines(path)}
        self._file = path.open("a")

    def take(self, message_id: str, customer: str) -> None:
        with self._lock:
            verb = "again" if message_id in self._seen else "effect"
            self._seen.add(message_id)
            self._file.write(f"{verb} {message_id} {customer}\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def lines(path: Path) -> list[str]:
    """Whole lines: a killed process may leave half of one."""
    if not path.exists():
        return []
    return [line for line in path.read_text().split("\n")[:-1] if len(line.split()) == 3]


def main(port: int, secret: str, path: Path, statuses: list[int]) -> None:
    effects, webhook = Effects(path), Webhook(secret)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses.pop(0) if statuses else 204
            if status < 300:
                try:
                    webhook.verify(body, dict(self.headers))
                except WebhookVerificationError:
                    status = 401
                else:
                    data = json.loads(body)["data"]
                    effects.take(self.headers["webhook-id"], data.get("userId", "-"))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64
        daemon_threads = True

    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), [int(one) for one in sys.argv[4:]])

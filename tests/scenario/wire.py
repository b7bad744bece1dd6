"""Two HTTP clients for the scenarios.

Client speaks well, through http.client, one connection a request. Raw is a
socket and a parser of answers: it sends whatever bytes it is given. Both hold
every answer against the OpenAPI document.
"""
import http.client
import json as jsonlib
import socket

JSON = "application/json"


class Answer:
    def __init__(self, status, headers, body, version="HTTP/1.1"):
        self.status, self.headers, self.body, self.version = status, headers, body, version

    def headers_named(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.headers_named(name)
        return values[0] if values else None

    @property
    def json(self):
        return jsonlib.loads(self.body.decode("utf-8"))

    @property
    def code(self):
        return self.json.get("code")

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:600]!r}>"


def connect(address, timeout):
    """address: a (host, port) pair or the path of a Unix socket."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    sock = socket.create_connection(address, timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Connection(http.client.HTTPConnection):
    def __init__(self, address, timeout):
        super().__init__("localhost", timeout=timeout)
        self.address = address

    def connect(self):
        self.sock = connect(self.address, self.timeout)


class Client:
    """Requests as a good client makes them. token: a default for every request."""

    def __init__(self, lane, token=None, timeout=30):
        self.lane, self.token, self.timeout = lane, token, timeout

    def request(self, method, target, body=None, *, json=None, token=..., headers=(), content_type=JSON, conn=None):
        sent = []
        if json is not None:
            body = jsonlib.dumps(json, ensure_ascii=False).encode("utf-8")
        if isinstance(body, str):
            body = body.encode("utf-8")
        if body is not None and content_type is not None:
            sent.append(("Content-Type", content_type))
        if token is ...:
            token = self.token
        if token is not None:
            sent.append(("Authorization", "Bearer " + token))
            self.lane.tokens_used.add(token)
        sent.extend(headers.items() if isinstance(headers, dict) else headers)
        own = conn is None
        if own:
            conn = Connection(self.lane.address, self.timeout)
        try:
            conn.putrequest(method, target, skip_accept_encoding=True)
            for name, value in sent:
                conn.putheader(name, value)
            if body is not None or method == "POST":
                conn.putheader("Content-Length", str(len(body or b"")))
            conn.endheaders()
            try:
                if body:
                    conn.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was read: the answer is there already
            got = conn.getresponse()
            answer = Answer(got.status, got.getheaders(), got.read())
        finally:
            if own:
                conn.close()
        self.lane.contract.check(method, target, answer)
        return answer

    def connection(self):
        return Connection(self.lane.address, self.timeout)

    def get(self, target, **kw):
        return self.request("GET", target, **kw)

    def head(self, target, **kw):
        return self.request("HEAD", target, **kw)

    def post(self, target, json=None, **kw):
        return self.request("POST", target, json=json, **kw)

    # The lane's own words; each expects success and returns the answer.

    def schedule(self, goal="Plan a calm evening", *, seed=None, ttl_ms=None, **kw):
        body = {"seed": seed if seed is not None else {"goal": goal}}
        if ttl_ms is not None:
            body["ttl_ms"] = ttl_ms
        answer = self.post("/schedule", body, **kw)
        assert answer.status == 202, answer
        return answer

    def job(self, *args, **kw):
        return self.schedule(*args, **kw).json["job_id"]

    def collect(self, job_id, **kw):
        return self.post("/collect", {"job_id": job_id}, **kw)

    def cancel(self, job_id, **kw):
        return self.post("/cancel", {"job_id": job_id}, **kw)

    def depth(self):
        return self.get("/health").json["queue_depth"]


class Raw:
    """A socket that sends what it is given and reads answers one by one."""

    def __init__(self, lane, timeout=None):
        self.lane = lane
        self.sock = connect(lane.address, timeout or 10 * lane.patience)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has hung up on us already; what it said can still be read

    def more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.rest += data
        return bool(data)

    def take_line(self):
        while b"\n" not in self.rest:
            if not self.more():
                raise EOFError(f"connection closed inside an answer: {self.rest!r}")
        line, self.rest = self.rest.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def take(self, count):
        while len(self.rest) < count:
            if not self.more():
                raise EOFError("connection closed inside a body")
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def answer(self, method="POST", target="/schedule", check=True):
        """The next answer; interim (1xx) ones are returned as well."""
        line = self.take_line()
        version, status = line.split(" ")[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0"), f"not a status line: {line!r}"
        headers = []
        while True:
            line = self.take_line()
            if line == "":
                break
            name, value = line.split(":", 1)
            headers.append((name, value.strip()))
        answer = Answer(int(status), headers, b"", version)
        if answer.status >= 200 and method != "HEAD":
            length = answer.header("Content-Length")
            if length is not None:
                answer.body = self.take(int(length))
            elif (answer.header("Transfer-Encoding") or "").lower() == "chunked":
                answer.body = self.chunks()
            else:
                while self.more():
                    pass
                answer.body, self.rest = self.rest, b""
        if check and answer.status >= 200:
            self.lane.contract.check(method, target, answer)
        return answer

    def chunks(self):
        body = b""
        while True:
            size = int(self.take_line().split(";")[0], 16)
            if size == 0:
                while self.take_line() != "":
                    pass
                return body
            body += self.take(size)
            self.take(2)

    def closed(self):
        """True when the peer sends nothing more and closes."""
        while self.more():
            if self.rest:
                return False
        return self.rest == b""


def raw_request(method, target, headers=(), body=b"", version="HTTP/1.1", host="simlane"):
    """The bytes of a request, in which nothing is added but Host."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines.extend(f"{name}: {value}" for name, value in headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body

#!/usr/bin/env python3
"""What a job and a live session cost Redis, PostgreSQL and S3, counted by those themselves.

    scripts/cost.py [target/release/dalston]

Starts a redis-server, a PostgreSQL and a small S3 server of its own, the server in two processes (realtime, and the rest) with the
loopback engine, and counts what an idle installation, jobs one after the other, and live sessions side by side cost. Everything is
ended again. Needs redis-server, redis-cli and PostgreSQL; takes about two minutes. docs/scaling.md shows a run.
"""

import collections
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import wave

IDLE_SECONDS, JOBS, SESSIONS, AUDIO_SECONDS = 30, 20, 40, 30
SERVER_USER = "postgres"


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as the server uses, over a dictionary, with its requests counted."""

    protocol_version = "HTTP/1.1"
    objects, parts, counts = {}, {}, collections.Counter()

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def asked(self, kind):
        self.counts[kind] += 1
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query, keep_blank_values=True), body

    def do_PUT(self):
        path, query, body = self.asked("PUT")
        if "partNumber" in query:
            self.parts.setdefault(query["uploadId"][0], {})[int(query["partNumber"][0])] = body
        else:
            self.objects[path] = body
        self.answer(200, etag='"1"')

    def do_POST(self):
        path, query, body = self.asked("POST")
        if "uploads" in query:
            upload = f"upload-{len(self.parts)}"
            self.parts[upload] = {}
            text = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        elif "uploadId" in query:
            parts = self.parts.pop(query["uploadId"][0])
            self.objects[path] = b"".join(parts[number] for number in sorted(parts))
            text = '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'
        else:
            for key in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                self.objects.pop(f"{path.rstrip('/')}/{key}", None)
            text = "<DeleteResult></DeleteResult>"
        self.answer(200, text.encode(), content_type="application/xml")

    def do_GET(self):
        path, query, _ = self.asked("LIST" if "list-type" in self.path else self.command)
        stamp = "Mon, 02 Jan 2023 00:00:00 GMT"
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            root = path.rstrip("/") + "/"
            keys = [key.removeprefix(root) for key in self.objects if key.startswith(root + prefix)]
            entry = "<Contents><Key>{}</Key><Size>1</Size><LastModified>2023-01-02T00:00:00Z</LastModified></Contents>"
            text = "".join(entry.format(key) for key in keys)
            text = f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>{text}</ListBucketResult>"
            return self.answer(200, text.encode(), content_type="application/xml")
        body = self.objects.get(path)
        if body is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        ranged = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("range") or "")
        if not ranged:
            return self.answer(200, body, etag='"1"', last_modified=stamp)
        first, last = int(ranged[1]), min(int(ranged[2] or len(body) - 1), len(body) - 1)
        span = f"bytes {first}-{last}/{len(body)}"
        return self.answer(206, body[first : last + 1], etag='"1"', last_modified=stamp, content_range=span)

    do_HEAD = do_GET

    def do_DELETE(self):
        path, _, _ = self.asked("DELETE")
        self.objects.pop(path, None)
        self.answer(204)


class Stage:
    """The servers, as children of this process."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.children = binary, folder, []
        self.redis_port, self.pg = free_port(), tempfile.mkdtemp(prefix="pg")

    def begin(self):
        self.start("redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                   "--dir", self.folder)
        self.s3 = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
        threading.Thread(target=self.s3.serve_forever, daemon=True).start()
        self.start_postgres()
        self.http = f"http://127.0.0.1:{free_port()}"
        self.ops = f"http://127.0.0.1:{free_port()}"
        self.serve("realtime", self.ops)
        self.serve("gateway,orchestrator,engine", self.http)

    def start(self, *command, **options):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(f"{self.folder}/log", "ab"), **options)
        self.children.append(child)
        return child

    def start_postgres(self):
        programs = max(pathlib.Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"
        # It refuses to run as root.
        user = {"user": SERVER_USER, "group": SERVER_USER} if os.geteuid() == 0 else {}
        if user:
            shutil.chown(self.pg, SERVER_USER, SERVER_USER)
        made = [programs / "initdb", "--auth=trust", "--username=dalston", "--encoding=UTF8", "--locale=C", "-D", f"{self.pg}/data"]
        subprocess.run(made, check=True, cwd=self.pg, stdout=subprocess.DEVNULL, **user)
        self.postgres = self.start(programs / "postgres", "-c", "listen_addresses=", "-k", self.pg, "-D", f"{self.pg}/data",
                   "-c", "shared_preload_libraries=pg_stat_statements", cwd=self.pg, **user)
        wait(lambda: self.sql("SELECT 1", "postgres") == "1", "PostgreSQL")
        self.sql("CREATE DATABASE dalston", "postgres")
        self.sql("CREATE EXTENSION pg_stat_statements")

    def sql(self, text, database="dalston"):
        command = ["psql", "-h", self.pg, "-U", "dalston", "-d", database, "-XAtc", text]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def serve(self, role, http):
        environment = {
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}",
            "DATABASE_URL": f"postgres://dalston@localhost/dalston?host={self.pg}",
            "DALSTON_ARTIFACTS_URL": "s3://bucket/all",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3.server_port}",
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
            "DALSTON_CLUSTER_SECRET": "a-secret-of-a-measurement", "DALSTON_SERVER_SECRET": "another-secret-of-it-which-is-longer-than-that",
            "DALSTON_REALTIME_BIND": "127.0.0.1:0", "DALSTON_DATA_DIR": f"{self.folder}/{role}",
        }
        self.start(self.binary, "serve", "--role", role, "--engine", "loopback", "--bind", http.removeprefix("http://"),
                   env={**os.environ, **environment})
        wait(lambda: get(f"{http}/readyz") is not None, role)

    def count(self):
        """Everything so far."""
        # PostgreSQL's processes tell what they did about each second.
        time.sleep(2.5)
        stats = collections.Counter()
        command = ["redis-cli", "-p", str(self.redis_port), "INFO", "everything"]
        info = subprocess.run(command, capture_output=True, text=True).stdout
        for name, calls in re.findall(r"^cmdstat_(\S+?):calls=(\d+)", info, re.M):
            if name in ("info", "config|resetstat"):
                continue
            stats[f"redis {name}"] = int(calls)
        # All that its one thread does, sockets too.
        cpu = re.findall(r"used_cpu_\w+_main_thread:([\d.]+)", info)
        stats["redis cpu µs"] = int(sum(map(float, cpu)) * 1e6)
        stats["redis bytes in"] = int(re.search(r"total_net_input_bytes:(\d+)", info)[1])
        stats["redis bytes out"] = int(re.search(r"total_net_output_bytes:(\d+)", info)[1])
        stats["redis memory"] = int(re.search(r"used_memory:(\d+)", info)[1])
        columns = ["xact_commit", "tup_inserted", "tup_updated", "tup_deleted"]
        row = self.sql(f"SELECT {', '.join(columns)} FROM pg_stat_database WHERE datname = 'dalston'")
        stats.update({f"pg {name}": int(value) for name, value in zip(columns, row.split("|"))})
        kinds = "SELECT upper(split_part(ltrim(query, E' \\n'), ' ', 1)), sum(calls) FROM pg_stat_statements GROUP BY 1"
        for line in self.sql(kinds).splitlines():
            kind, calls = line.split("|")
            stats[f"pg statement {kind}"] = int(calls)
        stats["pg wal bytes"] = int(float(self.sql("SELECT wal_bytes FROM pg_stat_wal") or 0))
        stats["pg cpu µs"] = self.postgres_cpu()
        stats.update({f"s3 {kind}": count for kind, count in Bucket.counts.items()})
        return stats

    def postgres_cpu(self):
        """Of the server and its processes that live. Connections of the server under test do; those of psql do not."""
        tick, total = os.sysconf("SC_CLK_TCK"), 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if self.postgres.pid in (int(fields[1]), int(stat.parent.name)):
                total += int(fields[11]) + int(fields[12])
        return total * 1_000_000 // tick

    def end(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
        shutil.rmtree(self.pg, ignore_errors=True)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read()
    except OSError:
        return None


def wait(is_so, what, seconds=60, every=0.1):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"{what} did not come")
        time.sleep(every)


def voiced(path):
    """Half seconds of a tone and of silence: the loopback engine makes words of it."""
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        half = [int(12_000 * ((n * 180 // 16_000) % 2 * 2 - 1)) if n % 32_000 < 16_000 else 0 for n in range(AUDIO_SECONDS * 16_000)]
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in half))


def job(stage, path):
    boundary = "boundary"
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = head.encode() + open(path, "rb").read() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"{stage.http}/v1/audio/transcriptions", body, headers)
    made = json.load(urllib.request.urlopen(request, timeout=30))
    state = lambda: json.loads(get(f"{stage.http}/v1/audio/transcriptions/{made['id']}"))["status"]
    wait(lambda: state() in ("completed", "failed"), "a job's end", every=1)
    assert state() == "completed", state()


def session(stage, path):
    command = [stage.binary, "stream", path, "--url", stage.http, "--output", "json"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def show(title, counts, divisor):
    print(f"\n{title}")
    for name, count in sorted(counts.items()):
        if count and abs(count / divisor) >= 0.005:
            print(f"  {name:28} {count / divisor:12.2f}")


def measured(stage, act):
    before, began = stage.count(), time.monotonic()
    act()
    took = time.monotonic() - began
    after = stage.count()
    return {name: after[name] - before[name] for name in after}, took + 2.5


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/dalston")
    with tempfile.TemporaryDirectory() as folder:
        audio = f"{folder}/a.wav"
        voiced(audio)
        stage = Stage(binary, folder)
        try:
            stage.begin()
            # What starts says hello.
            time.sleep(3)
            idle, took = measured(stage, lambda: time.sleep(IDLE_SECONDS))
            show("idle, per second", idle, took)
            rate = {name: count / took for name, count in idle.items()}
            job(stage, audio)
            jobs, took = measured(stage, lambda: [job(stage, audio) for _ in range(JOBS)])
            show(f"per job of {AUDIO_SECONDS} s of audio, less what idle takes",
                 {name: count - rate.get(name, 0) * took for name, count in jobs.items()}, JOBS)
            failed = []
            live = lambda: failed.extend(child.wait() for child in [session(stage, audio) for _ in range(SESSIONS)])
            sessions, took = measured(stage, live)
            if any(failed):
                print(f"{sum(map(bool, failed))} of {SESSIONS} sessions failed: what follows is not what a session costs")
            show(f"per live session of {AUDIO_SECONDS} s, {SESSIONS} at once, less what idle takes",
                 {name: count - rate.get(name, 0) * took for name, count in sessions.items()}, SESSIONS)
        finally:
            stage.end()
            if sys.exc_info()[0]:
                print(open(f"{folder}/log").read()[-3000:], file=sys.stderr)


if __name__ == "__main__":
    main()

"""Asks gcloud's own code: gcloud.py SDK GOLDEN CALLS. No account, and nothing leaves this machine."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

PARSE = """
import contextlib, io, json, os, sys
sys.path[:0] = [sys.argv[1] + "/lib", sys.argv[1] + "/lib/third_party"]
from googlecloudsdk import gcloud_main
from googlecloudsdk.calliope import backend
backend.Command.Run = lambda self, cli, args: None  # read, and not run
cli = gcloud_main.CreateCLI([])
seen, bad = set(), 0
for line in open(sys.argv[2]):
    call = json.loads(line)
    args = call["Args"]
    if args[0] == "curl" or tuple(args) in seen:
        continue
    seen.add(tuple(args))
    sys.stdin = io.TextIOWrapper(io.BytesIO(call["Stdin"].encode()))
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            cli.Execute(args)
    except SystemExit as end:
        if end.code:
            bad += 1
            print(args, err.getvalue()[:400])
print(f"gcloud reads {len(seen) - bad} of {len(seen)} commands")
sys.exit(1 if bad or len(seen) < 50 else 0)
"""

# What gcloud adds of its own, and what service.yaml says though it is the default.
OWN = ("client-name", "client-version", "launch-stage", "/labels/client.knative.dev/nonce", "/containers/0/name")
DEFAULTS = {"/spec/traffic/0/latestRevision": "true", "/spec/traffic/0/percent": "100", "/spec/template/spec/containers/0/ports/0/name": "http1",
            "/metadata/annotations/run.googleapis.com/minScale": "0", "/metadata/annotations/run.googleapis.com/invoker-iam-disabled": "false"}


class Recorder(http.server.BaseHTTPRequestHandler):
    """Stands for Cloud Run's API: knows no service, and keeps what it is sent."""

    sent = None

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "services.test" in self.path:
            code, reply = 200, {"name": "x", "state": "ENABLED"}
        elif self.command == "GET":
            code, reply = 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "none"}}
        else:
            type(self).sent = json.loads(body)
            code, reply = 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "recorded"}}
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    do_GET = do_POST = do_PUT = do_PATCH = answer

    def log_message(self, *_):
        pass


def flat(v, at=""):
    if isinstance(v, dict):
        for k in v:
            yield from flat(v[k], f"{at}/{k}")
    elif isinstance(v, list):
        if at.endswith("/env"):
            v = sorted(v, key=lambda e: e["name"])
        for i, one in enumerate(v):
            yield from flat(one, f"{at}/{i}")
    elif not any(own in at for own in OWN):
        yield at, str(v).lower() if isinstance(v, bool) or str(v) in ("True", "False") else str(v)


def sent(argv, env, **kw):
    Recorder.sent = None
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, **kw)
    if Recorder.sent is None:
        sys.exit(f"{argv[0]} sent nothing: {done.stderr[-600:]}")
    return dict(flat(Recorder.sent))


def main(sdk, golden, calls):
    env = os.environ | {"CLOUDSDK_CORE_PROJECT": "acme", "CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1"}
    bundled = sdk / "platform/bundledpythonunix/bin/python3"
    if subprocess.run([bundled if bundled.exists() else sys.executable, "-c", PARSE, sdk, calls], env=env, check=False).returncode:
        return 1
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    token = pathlib.Path(env["CLOUDSDK_CONFIG"]) / "token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("none")
    env |= {"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token), "CLOUDSDK_PROXY_TYPE": "http_no_tunnel", "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
            "CLOUDSDK_PROXY_PORT": str(server.server_port), "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.test/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE": "http://services.test/", "PROJECT": "acme", "REGION": "europe-west1"}
    bad = 0
    for manifest in sorted(golden.glob("*/service.yaml")):
        readme = (manifest.parent / "README.md").read_text()
        line = readme[readme.index("    gcloud run deploy", readme.index("service.yaml as one line")):]
        # Older releases have --max of services in beta alone.
        text = "\n".join(one[4:] for one in line.splitlines()).replace("gcloud run", "gcloud beta run", 1)
        by_line = sent(["bash", "-c", text], env)
        applied = manifest.read_text().replace("@PROJECT_ID.", "@acme.")
        by_file = sent(["gcloud", "run", "services", "replace", "-", "--region", "europe-west1"], env, input=applied)
        for k in sorted(set(by_line) | set(by_file)):
            if by_line.get(k, DEFAULTS.get(k)) != by_file.get(k, DEFAULTS.get(k)):
                bad += 1
                print(f"{manifest.parent.name} {k}: line {by_line.get(k)}, file {by_file.get(k)}")
        print(f"{manifest.parent.name}: gcloud sends the same for its line and for service.yaml, {len(by_file)} values")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))

"""Drive a running server with tritonclient, unchanged, and keep what was said.

    python models.py FOLDER       # then serve FOLDER
    python drive.py HTTP_ADDRESS GRPC_ADDRESS OUTPUT_FOLDER [CASE...]

The addresses are HOST:PORT; both may be the same port. Every case goes through a
recording proxy on loopback (recorder.py), which leaves the bytes of each connection
in the output folder. Every answer is checked; the exit code is 1 when one is wrong.
With CASE only the cases run whose name begins with one of them.
"""

import os
import sys
import traceback

# A proxy from the environment would stand between the client and loopback.
for variable in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
    os.environ.pop(variable, None)
    os.environ.pop(variable.upper(), None)

import cases_api
import cases_errors
import cases_tensors
from harness import CASES
from recorder import Recorder

MODULES = (cases_api, cases_tensors, cases_errors)  # importing one registers its cases


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    addresses = {"http": sys.argv[1], "grpc": sys.argv[2]}
    recorder, chosen = Recorder(sys.argv[3]), tuple(sys.argv[4:])
    run = failed = 0
    for c in CASES:
        if chosen and not c.name.startswith(chosen):
            continue
        run += 1
        try:
            upstream = addresses[c.transport.name]
            with recorder.case(c.name, c.transport.name, upstream, c.keep) as address:
                with c.transport.client(address, c.connections) as client:
                    c.run(c.transport, client)
            print("ok    ", c.name)
        except Exception as e:
            failed += 1
            frames = traceback.extract_tb(e.__traceback__)
            line = next((f.lineno for f in reversed(frames) if "cases_" in f.filename), 0)
            text = " ".join(f"{type(e).__name__}: {e}".split())[:400]
            print(f"FAILED {c.name} (line {line}): {text}")
    recorder.close()
    print(f"{run} cases, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

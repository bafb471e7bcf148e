"""moto as a server: S3, SQS and DynamoDB at one port. Requests of all but SQS are done one at a time: moto looks whether
something is there and writes it without a lock around both, and AWS does not."""

import io
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

app = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def serve(environ, start_response):
    if environ.get("HTTP_X_AMZ_TARGET", "").startswith("AmazonSQS."):  # where a call may wait for messages
        return app(environ, start_response)
    if environ.get("CONTENT_LENGTH"):  # nobody's slow upload keeps others waiting
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    with turn:
        return list(app(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), serve, threaded=True)

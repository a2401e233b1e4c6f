"""What gunicorn understood, said as opinion.js says it: a WSGI application."""

import base64
import hashlib
import json


def shortened(text):
    return text if len(text) < 300 else text[:50] + hashlib.sha1(text.encode("latin-1", "replace")).hexdigest()


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    opinion = [environ["REQUEST_METHOD"], shortened(environ["RAW_URI"]), environ.get("HTTP_HOST", ""), len(body),
               hashlib.sha1(body).hexdigest() if body else ""]
    said = base64.b64encode(json.dumps(opinion, ensure_ascii=False).encode("latin-1", "replace")).decode()
    start_response("200 OK", [("X-Opinion", said), ("Content-Length", "0")])
    return []

"""Where mutated responses come from: valid ones, the classics of response splitting, and the operators of grammar.py."""

import random

import grammar
from grammar import CL_VARIANTS, CRLF, ENDINGS, LINES, TE_VARIANTS, chunks

SENTINEL = b"HTTP/1.1 200 OK\r\nX-Sentinel: 1\r\nContent-Length: 8\r\n\r\nsentinel"
HIDDEN = b"HTTP/1.1 299 Hidden\r\nContent-Length: 6\r\n\r\nhidden"


def response(line, *fields, body=b""):
    return CRLF.join((line,) + fields) + CRLF + CRLF + body


def length(body):
    return b"Content-Length: %d" % len(body)


CHUNKED = b"Transfer-Encoding: chunked"
# What must pass: (status, body, response). Those without a length end with their connection.
VALID = [
    (200, b"ok", response(b"HTTP/1.1 200 OK", length(b"ok"), b"X-A: b", b"Set-Cookie: a=b", b"Set-Cookie: c=d", body=b"ok")),
    (200, HIDDEN, response(b"HTTP/1.1 200 OK", length(HIDDEN), body=HIDDEN)),
    (200, b"", response(b"HTTP/1.1 200 OK", b"Content-Length: 0")),
    (200, HIDDEN + b"x", response(b"HTTP/1.1 200 OK", CHUNKED, body=chunks(HIDDEN, b"x"))),
    (200, b"data", response(b"HTTP/1.1 200 OK", CHUNKED, b"Trailer: X-T", body=chunks(b"data", trailers=b"X-T: 1\r\n"))),
    (200, b"data", response(b"HTTP/1.1 200 ", CHUNKED, body=b"4;e=\"x\"\r\ndata\r\n0\r\n\r\n")),
    (200, b"to the end", response(b"HTTP/1.1 200 OK", b"Connection: close", body=b"to the end")),
    (200, b"to the end", response(b"HTTP/1.0 200 OK", body=b"to the end")),
    (204, b"", response(b"HTTP/1.1 204 No Content")),
    (304, b"", response(b"HTTP/1.1 304 Not Modified", b"ETag: \"x\"")),
    (404, b"no", response(b"HTTP/1.1 404 Not Found \xe9", b"Content-Length: 2", body=b"no")),
    (200, b"ok", response(b"HTTP/1.1 103 Early Hints", b"Link: </x>") + response(b"HTTP/1.1 200 OK", length(b"ok"), body=b"ok")),
    (299, b"ok", response(b"HTTP/1.1 299 Odd", length(b"ok"), b"x_y: z", b"X-Empty:", body=b"ok")),
]
ENDED_BY_CLOSE = {number for number, (_, body, _) in enumerate(VALID) if body == b"to the end"}
STATUS_LINES = [
    b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1 2OO OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 -200 OK",
    b"HTTP/1.2 200 OK",
    b"HTTP/2 200 OK", b"http/1.1 200 OK", b"HTTP/1.1\t200\tOK", b"ICY 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK",
    b" HTTP/1.1 200 OK",
    b"HTTP/1.1 099 Low", b"HTTP/1.1 100 Continue", b"HTTP/1.1 101 Switching", b"HTTP/1.1 204 OK", b"HTTP/1.1 304 OK",
    b"HTTP/1.1 999 High",
    b"HTTP/1.1", b"", b"garbage", b"HTTP/0.9 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1200 OK", b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 205 Reset",
]


def both(te, cl, body):
    fields = [te] if te else []
    if cl is not None:
        fields.append(cl % ((len(body),) * cl.count(b"%")))
    return response(b"HTTP/1.1 200 OK", *fields, body=body)


def classics():
    inner = chunks(b"data") + HIDDEN
    found = [both(te, b"Content-Length: %d", inner) for te in TE_VARIANTS] + [both(te, None, inner) for te in TE_VARIANTS]
    found += [both(CHUNKED, cl, inner) for cl in CL_VARIANTS] + [both(None, cl, HIDDEN) for cl in CL_VARIANTS]
    found += [response(line, length(b"body"), body=b"body") for line in STATUS_LINES]
    found += [response(b"HTTP/1.1 200 OK", CHUNKED, body=size + CRLF + CRLF + HIDDEN) for size in grammar.CHUNK_SIZES]
    found += [response(b"HTTP/1.1 200 OK", CHUNKED, body=b"4\r\ndata" + end + b"0\r\n\r\n" + HIDDEN) for end in ENDINGS]
    found += [response(b"HTTP/1.1 200 OK", CHUNKED, body=chunks(b"data", trailers=t) + HIDDEN) for t in grammar.TRAILERS]
    found += [response(b"HTTP/1.1 200 OK", line, length(b"body"), body=b"body") for line in LINES]
    found += [response(b"HTTP/1.1 200 OK", b"X: y" + end + b"Y: z", length(b"body"), body=b"body") for end in ENDINGS]
    found += [response(b"HTTP/1.1 200 OK", b"Content-Length: 4", body=b"body" + HIDDEN), HIDDEN + HIDDEN,
              response(b"HTTP/1.1 204 No", length(HIDDEN), body=HIDDEN),
              response(b"HTTP/1.1 304 No", length(HIDDEN), body=HIDDEN),
              response(b"HTTP/1.1 204 No", CHUNKED, body=inner), response(b"HTTP/1.1 103 Hints", length(HIDDEN), body=HIDDEN),
              response(b"HTTP/1.1 200 OK", b"Content-Length: 400", body=b"cut"),
              response(b"HTTP/1.1 200 OK", CHUNKED, body=b"4\r\nda")]
    return found


SEEDS = [r for _, _, r in VALID] + classics()
OPERATORS = [o for o in grammar.OPERATORS if o not in (grammar.bend_start, grammar.follow)]


def bend_status(random_, stream):
    line, end, rest = stream.partition(CRLF)
    return random_.choice(STATUS_LINES) + end + rest


def mutated(seed, number):
    """The response of this number: the first are the seeds as they are, then bent ones."""
    if number < len(SEEDS):
        return SEEDS[number]
    random_ = random.Random(f"{seed}:{number}:response")
    made = random_.choice(SEEDS)
    for _ in range(random_.choice((1, 1, 2, 2, 3))):
        made = random_.choice(OPERATORS + [bend_status] * 2)(random_, made) or b"\r\n"
    return made[:60_000]

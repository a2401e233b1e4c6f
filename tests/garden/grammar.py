"""Where mutated requests come from: seeds, and operators that bend one at a time what decides where a request ends.

Seeds are whole streams of a client: the valid corpus (which no proxy may refuse) and the classics of request smuggling.
A mutated stream is made of a seed's number and one to four operators; it depends on (seed of the run, number) alone, so a
finding is made again with `garden.py --seed S --only N`. Bodies hold a request of their own, so that whoever loses count
sees one more. Sources: RFC 9112 sections 2 to 7, RFC 9110 section 5, and what made CVEs.
"""

import random

CRLF = b"\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n"
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"


def request(line, *fields, body=b"", host=b"a.example"):
    fields = ((b"Host: " + host,) if host is not None else ()) + fields
    return CRLF.join((line,) + fields) + CRLF + CRLF + body


def chunks(*parts, last=b"0", trailers=b""):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + last + CRLF + trailers + CRLF


def length(body):
    return b"Content-Length: %d" % len(body)


CHUNKED = b"Transfer-Encoding: chunked"

# --- What nobody may refuse: (how many requests, stream) ------------------------------------------------------------
VALID = [
    (1, request(b"GET / HTTP/1.1")),
    (1, request(b"GET /p/a%20b?x=1&y=%2F;z HTTP/1.1", b"Accept: */*", b"X-Empty:", b"X-Tab:\ta\tb ", b"x_under: 1")),
    (1, request(b"GET /~a/(b)/c!$&'*+,;=:@ HTTP/1.1", b"User-Agent: Mozilla/5.0 (X11; \xc3\xa9) \"q\"")),
    (1, request(b"POST /form HTTP/1.1", length(HIDDEN), body=HIDDEN)),
    (1, request(b"PUT /empty HTTP/1.1", b"Content-Length: 0")),
    (1, request(b"POST /chunks HTTP/1.1", CHUNKED, body=chunks(HIDDEN, b"more"))),
    (1, request(b"POST /chunks HTTP/1.1", CHUNKED, body=chunks())),
    (1, request(b"POST /upper HTTP/1.1", b"TRANSFER-ENCODING: Chunked", body=b"00A\r\n0123456789\r\n000\r\n\r\n")),
    (1, request(b"POST /trailers HTTP/1.1", CHUNKED, b"Trailer: X-Sum", body=chunks(b"data", trailers=b"X-Sum: 1\r\n"))),
    (1, request(b"POST /extension HTTP/1.1", CHUNKED, body=b"4;name=value\r\ndata\r\n0\r\n\r\n")),
    (1, request(b"DELETE /x HTTP/1.1")),
    (1, request(b"OPTIONS * HTTP/1.1")),
    (1, request(b"OPTIONS /x HTTP/1.1", b"Origin: http://a.example")),
    (1, request(b"HEAD /head HTTP/1.1")),
    (1, request(b"PATCH /patch HTTP/1.1", length(b"{}"), b"Content-Type: application/json", body=b"{}")),
    (1, request(b"PROPFIND /dav HTTP/1.1", b"Depth: 1")),
    (1, request(b"GET /hosts HTTP/1.1", host=b"a.example:8080")),
    (1, request(b"GET /hosts HTTP/1.1", host=b"[::1]:8080")),
    (1, request(b"GET /close HTTP/1.1", b"Connection: keep-alive")),
    (1, request(b"GET /many HTTP/1.1", *[b"X-%d: %s" % (n, b"v" * n) for n in range(60)])),
    (1, request(b"GET /cookie HTTP/1.1", b"Cookie: a=b; c=\"d e\"", b"Cookie: f=g")),
    (1, request(b"POST /expect HTTP/1.1", length(b"later"), b"Expect: 100-continue", body=b"later")),
    (1, request(b"GET /upgrade HTTP/1.1", b"Connection: X-Mine", b"X-Mine: 1", b"X-Other: 2")),
    (1, request(b"GET " + b"/long" * 800 + b" HTTP/1.1")),
    (3, request(b"GET /1 HTTP/1.1") + request(b"POST /2 HTTP/1.1", length(b"two"), body=b"two") + request(b"GET /3 HTTP/1.1")),
    (2, request(b"POST /1 HTTP/1.1", CHUNKED, body=chunks(b"one")) + request(b"GET /2 HTTP/1.1")),
]

# --- The classics ----------------------------------------------------------------------------------------------------
TE_VARIANTS = [
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:\tchunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: \x0cchunked",
    b"Transfer-Encoding: chunked\x0b", b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding\x00: chunked", b"Transfer_Encoding: chunked", b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: chunk", b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: cow, chunked", b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding: chunked;",
    b"Transfer-Encoding:",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\r\n\tchunked", b"Transfer-Encoding: x\r\n chunked",
    b" Transfer-Encoding: chunked", b"\tTransfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked", b"X: y\r\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r",
    b"Transfer\xadEncoding: chunked", b"Transfer-Encoding:\xa0chunked", b"Transfer-Encoding: chunked\xa0",
    b"Transfer-Encoding: chun\x00ked", b"Content-Encoding: chunked", b"TE: chunked", b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
]
CL_VARIANTS = [
    b"Content-Length: %d", b"Content-Length:%d", b"Content-Length: +%d", b"Content-Length: -%d", b"Content-Length: 0x%x",
    b"Content-Length: %d ", b"Content-Length: 0%d", b"Content-Length: 00000000000000000000000%d", b"Content-Length : %d",
    b"Content-Length\t: %d", b"Content-Length: %d, %d", b"Content-Length: %d,", b"Content-Length: ,%d",
    b"Content-Length: %d;",
    b"Content-Length: %d.0", b"Content-Length: %de0", b"Content-Length: %d\x00", b"Content-Length: \x0b%d",
    b"Content-Length:\r\n %d",
    b"Content-Length: %d\r\nContent-Length: 0", b"Content-Length: 0\r\nContent-Length: %d", b"Content-Length: 1%d",
    b"Content-Length: %d\r\nContent-Length: %d", b"Content_Length: %d", b"Content-Length: \"%d\"", b"Content-Length: 1_%d",
    b"Content-Length: 18446744073709551616", b"Content-Length: 4294967296", b"Content-Length:", b"content-length: %d",
    b"X: y\nContent-Length: %d", b"X: y\rContent-Length: %d", b"Content-Length: %d\r", b" Content-Length: %d",
]
CHUNK_SIZES = [
    b"0", b"00", b"0x0", b"-0", b"+0", b"0 ", b" 0", b"0\t", b"0;", b"0;a", b"0 ;a=b", b"0;a=\"b\"", b"0;a=\"\r\n\"",
    b"0;\n", b"0\r",
    b"0\x00", b"0_0", b"", b"g", b"0000000000000000000000000000000", b"10000000000000000", b"ffffffffffffffff", b"80000000",
    b"fffffffffffffff0", b"100000000", b"0;" + b"e" * 2000, b"0;a\rb", b"0,0", b"0.0", b"0h", b"1", b"2", b"A", b"a0",
    b"0\x0b", b"\xb2",
]
HOSTS = [
    b"Host: b.example", b"Host:", b"Host: a b", b"Host: a/b", b"Host: a@b", b"Host: a,b", b"Host: a.example, b.example",
    b"Host : b", b"host: b.example", b"Host: a.example:80:81", b"Host: [::1", b"Host: a\x00b", b"Host: \"a\"", b"Host:a#b",
    b"Host:\r\n b",
    b"X: y\nHost: b.example", b"Host: a?b", b"Host: a\\b", b"Host: %61", b"Host: a.example:", b"Host: a.example:x",
    b"Host: \xc3\xa9",
]
TARGETS = [
    b"http://b.example/abs", b"http://b.example", b"HTTP://b.example/", b"https://b.example/", b"http://", b"http:///x",
    b"http:/x",
    b"//b.example/x", b"x", b"", b"*", b"/a#b", b"/a b", b"/a\tb", b"/a\x00b", b"/a\\b", b"/%00", b"/%zz", b"/%",
    b"/\xc3\xa9", b"/a?b#c",
    b"b.example:80", b"/../x", b"/a/../b", b"/a/%2e%2e/b", b"/a//b", b"/a;b", b"http://u:p@b.example/", b"ftp://b.example/",
    b"/\x7f", b"?x",
    b"/a\rb", b"http://b.example:80/x", b"http://a.example/same", b"/\"<>^`{|}",
]
METHODS = [
    b"get", b"GeT", b"FOO", b"G@T", b"GE T", b"", b"GET\t", b" GET", b"\x00GET", b"TRACE", b"CONNECT", b"PRI", b"GET/",
    b"G\x00T", b"POST",
    b"HEAD", b"\"GET\"", b"A" * 40, b"GPOST", b"M-SEARCH", b"LOCK",
]
VERSIONS = [
    b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1,1",
    b"HTTP/1.",
    b"HTTP/ 1.1", b"HTTP/1.1\t", b"HTTP/1.1\x00", b"HTTP", b"", b"HTTP/11", b"HTTP/1.1 x", b"ICY/1.1", b"HTTP/+1.1",
    b"HTTP/9.9",
]
LINES = [
    b"X: y", b"X : y", b": y", b"X", b"X\x00: y", b"X: \x00", b"X: \x01", b"X: y\x7f", b" folded", b"\tfolded", b"X:y\x0b",
    b"X y: z", b"(X): y",
    b"X: y\nSet: z", b"X: y\rSet: z", b"X\r: y", b"\x80X: y", b"Connection: close", b"Connection: Content-Length",
    b"Connection: Transfer-Encoding", b"Connection: Host", b"Connection: keep-alive, Transfer-Encoding, close",
    b"Expect: 100-continue",
    b"Expect: 200-ok", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    b"Upgrade: websocket\r\nConnection: Upgrade", b"Keep-Alive: timeout=1", b"Proxy-Connection: close", b"TE: trailers",
    b"Trailer: Content-Length", b"X-Forwarded-For: 1.2.3.4", b"X-HTTP-Method-Override: DELETE", b"Content-Length-X: 3",
    b"X_Host: b",
    b"X-Long: " + b"v" * 5000, b"Upgrade: TLS/1.0\r\nConnection: upgrade", b"Transfer-Encoding: chunked\nX: y",
    b"X: \xff\xfe",
]
TRAILERS = [
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: trailer\r\n", b"X-T: 1\r\n", b"X-T : 1\r\n",
    b" folded: 1\r\n",
    b"X-T: 1\n", b": 1\r\n", b"no colon\r\n", b"X: \x00\r\n", b"X-T: 1\r\n" * 120, b"Connection: close\r\n",
    b"Authorization: x\r\n",
]
ENDINGS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"\x0b\r\n", b"\r\n ", b"\0\r\n", b"\x85", b"\r\n\t", b"", b" \r\n",
           b"\n\n"]
BYTES = [b"\0", b"\t", b"\n", b"\r", b"\x0b", b"\x0c", b" ", b"\x1f", b"\x7f", b"\x80", b"\xa0", b"\xff", b":", b";", b",", b"\"",
         b"_", b"#", b"\\", b"0", b"-", b"+"]


def framed(te, cl, body):
    """A POST with both, either or neither framing field as they are."""
    fields = [te] if te else []
    if cl is not None:
        size = len(body)
        fields.append(cl % ((size,) * cl.count(b"%")))
    return request(b"POST /framed HTTP/1.1", *fields, body=body)


def classics():
    """Every known trick once, unbent."""
    inner = chunks(b"data") + HIDDEN
    found = [framed(te, b"Content-Length: %d", inner) for te in TE_VARIANTS]                      # CL.TE, TE.CL, TE.TE
    found += [framed(te, None, inner) for te in TE_VARIANTS]
    found += [framed(b"Transfer-Encoding: chunked", cl, inner) for cl in CL_VARIANTS]
    found += [framed(None, cl, HIDDEN) for cl in CL_VARIANTS]
    found += [request(b"POST /size HTTP/1.1", CHUNKED, body=size + CRLF + CRLF + HIDDEN) for size in CHUNK_SIZES]
    found += [request(b"POST /size HTTP/1.1", CHUNKED, body=b"4\r\ndata" + end + b"0\r\n\r\n" + HIDDEN) for end in ENDINGS]
    found += [request(b"POST /size HTTP/1.1", CHUNKED, body=b"4" + end + b"data\r\n0\r\n\r\n" + HIDDEN) for end in ENDINGS]
    found += [request(b"POST /trailer HTTP/1.1", CHUNKED, body=chunks(b"data", trailers=t) + HIDDEN) for t in TRAILERS]
    found += [request(b"GET /host HTTP/1.1", field) for field in HOSTS]
    found += [request(b"GET /host HTTP/1.1", field, host=None) for field in HOSTS]
    found += [request(b"GET " + target + b" HTTP/1.1") for target in TARGETS]
    found += [request(method + b" /method HTTP/1.1", length(HIDDEN), body=HIDDEN) for method in METHODS]
    found += [request(b"POST /version " + version, CHUNKED, body=inner) for version in VERSIONS]
    found += [request(b"GET /version " + version, host=host) for version in VERSIONS for host in (b"a.example", None)]
    found += [request(b"POST /line HTTP/1.1", line, length(HIDDEN), body=HIDDEN) for line in LINES]
    found += [request(b"GET /ending HTTP/1.1", b"X: y" + end + b"Y: z") for end in ENDINGS]
    found += [b"GET /ending HTTP/1.1" + end + b"Host: a.example\r\n\r\n" for end in ENDINGS]
    found += [request(b"GET /end HTTP/1.1", b"X: y")[:-4] + end + end + HIDDEN for end in ENDINGS]
    found += [lead + request(b"GET /lead HTTP/1.1") for lead in (CRLF, CRLF * 3, b"\n", b"\r", b" ", b"\0", b"\r\n\r\n \r\n")]
    found += [request(b"GET /body HTTP/1.1", body=HIDDEN), request(b"GET /body HTTP/1.1", length(HIDDEN), body=HIDDEN),
              request(b"HEAD /body HTTP/1.1", length(HIDDEN), body=HIDDEN), request(b"GET /body HTTP/1.1", CHUNKED, body=inner)]
    found += [b"GET /simple\r\n", b"GET /simple\r\n\r\n",
              b"GET  /two HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /two  HTTP/1.1\r\nHost: a\r\n\r\n",
              b"GET\t/tab\tHTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN]
    return found


SEEDS = [stream for _, stream in VALID] + classics()


# --- Operators -----------------------------------------------------------------------------------------------------
def head_lines(stream):
    head, separator, body = stream.partition(b"\r\n\r\n")
    return head.split(CRLF), separator + body


def joined(lines, rest):
    return CRLF.join(lines) + rest


def add_line(random_, stream):
    lines, rest = head_lines(stream)
    line = random_.choice(random_.choice((TE_VARIANTS, CL_VARIANTS, HOSTS, LINES)))
    if b"%" in line and b"%61" not in line:
        size = random_.choice((0, 1, 4, len(rest) - 4, len(rest), len(HIDDEN)))
        line = line % ((max(0, size),) * line.count(b"%"))
    lines.insert(random_.randint(1, len(lines)), line)
    return joined(lines, rest)


def drop_line(random_, stream):
    lines, rest = head_lines(stream)
    del lines[random_.randrange(len(lines))]
    return joined(lines, rest)


def repeat_line(random_, stream):
    lines, rest = head_lines(stream)
    lines.insert(random_.randint(0, len(lines)), random_.choice(lines))
    return joined(lines, rest)


def bend_ending(random_, stream):
    places = [i for i in range(len(stream)) if stream.startswith(CRLF, i)]
    at = random_.choice(places) if places else 0
    return stream[:at] + random_.choice(ENDINGS) + stream[at + 2:]


def bend_byte(random_, stream):
    near = [i for i in range(len(stream)) if stream[i:i + 1] in b":\r\n ;,"] or [0]
    at = max(0, random_.choice(near) + random_.randint(-1, 2)) if random_.random() < 0.8 else random_.randrange(len(stream) + 1)
    kind = random_.randrange(3)
    if kind == 0:
        return stream[:at] + random_.choice(BYTES) + stream[at:]
    if kind == 1:
        return stream[:at] + stream[at + 1:]
    return stream[:at] + random_.choice(BYTES) + stream[at + 1:]


def bend_start(random_, stream):
    line, end, rest = stream.partition(CRLF)
    parts = (line.split(b" ") + [b"", b"", b""])[:3]
    which = random_.randrange(3)
    parts[which] = random_.choice((METHODS, TARGETS, VERSIONS)[which])
    return b" ".join(parts) + end + rest


def bend_case(random_, stream):
    lines, rest = head_lines(stream)
    at = random_.randrange(len(lines))
    lines[at] = bytes(random_.choice((c, c ^ 32)) if 65 <= c & ~32 <= 90 else c for c in lines[at])
    return joined(lines, rest)


def bend_chunk(random_, stream):
    head, separator, body = stream.partition(b"\r\n\r\n")
    lines = body.split(CRLF)
    at = random_.randrange(len(lines))
    size = random_.choice(CHUNK_SIZES)
    lines[at] = random_.choice((size, lines[at] + size, size + lines[at]))
    return head + separator + CRLF.join(lines)


def add_trailer(random_, stream):
    at = stream.rfind(b"0\r\n")
    return stream if at < 0 else stream[:at + 3] + random_.choice(TRAILERS) + stream[at + 3:]


def follow(random_, stream):
    return stream + random_.choice(SEEDS)


def cut(random_, stream):
    return stream[:random_.randint(1, len(stream))]


OPERATORS = [add_line] * 5 + [bend_byte] * 4 + [bend_ending] * 3 + [bend_chunk] * 3 + [bend_start] * 2 + [
    bend_case, add_trailer, drop_line, repeat_line, follow, cut]


def mutated(seed, number):
    """The stream of this number: the first are the classics as they are, then bent ones."""
    if number < len(SEEDS):
        return SEEDS[number]
    random_ = random.Random(f"{seed}:{number}")
    stream = random_.choice(SEEDS)
    for _ in range(random_.choice((1, 1, 2, 2, 3, 4))):
        stream = random_.choice(OPERATORS)(random_, stream) or b"\r\n"
    return stream[:60_000]

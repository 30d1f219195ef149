"""Frames of HTTP/2 as bytes, for what no library would send."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    2,
    3,
    4,
    6,
    8,
    9,
)
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ECHO = b"/koodrive/test/echo"


def request(token, method=b"GET", path=ECHO):
    return [
        (b":method", method),
        (b":scheme", b"http"),
        (b":authority", b"gateway"),
        (b":path", path),
        (b"authorization", b"Bearer " + token.encode()),
    ]


def frame(kind, flags, stream, payload):
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def block(fields):
    """Without indexing, names and values as they are (RFC 7541 section 6.2.2)."""
    return b"".join(b"\0" + string(name) + string(value) for name, value in fields)


def number(value):
    return value.to_bytes(4, "big")


def string(text):
    if len(text) < 127:
        return bytes([len(text)]) + text
    length, rest = bytes([127]), len(text) - 127
    while 128 <= rest:
        length, rest = length + bytes([rest % 128 | 128]), rest // 128
    return length + bytes([rest]) + text

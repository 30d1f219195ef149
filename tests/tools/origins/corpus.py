"""Raw requests: those of the wire tests, more that are known to part servers, and mutations of both.

In their texts `⏎` is CRLF, `␊` LF, `␍` CR, `␀` NUL, `␉` a tab, `{H}` a Host line, `{A}` a line with a
good SSO token, `{T}` that token.
"""

import codecs
import random
import re
from pathlib import Path

WIRE = Path(__file__).resolve().parents[2] / "it/wire"
CHUNKED = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎"
SIZED = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}"
BATCH = '{"curDeptId":1,"users":[{"personalCapacity":10,"isAllocateCapacity":true}]}'
# Known from Http11Probe: name → request.
PROBES = {
    "form feed before the coding": f"{SIZED}Transfer-Encoding: \x0cchunked⏎⏎5⏎hello⏎0⏎⏎",
    "form feed behind the coding": f"{SIZED}Transfer-Encoding: chunked\x0c⏎⏎5⏎hello⏎0⏎⏎",
    "comma before the coding": f"{SIZED}Transfer-Encoding: ,chunked⏎⏎5⏎hello⏎0⏎⏎",
    "comma behind the coding": f"{SIZED}Transfer-Encoding: chunked ,⏎⏎5⏎hello⏎0⏎⏎",
    "tab behind the coding": f"{SIZED}Transfer-Encoding: chunked␉⏎⏎5⏎hello⏎0⏎⏎",
    "tab instead of the colon": f"{SIZED}Transfer-Encoding␉chunked⏎Content-Length: 5⏎⏎hello",
    "chunk size with an underscore": f"{CHUNKED}0_5⏎hello⏎0⏎⏎",
    "chunk size with a blank behind": f"{CHUNKED}5 ⏎hello⏎0⏎⏎",
    "chunk size with a tab behind": f"{CHUNKED}5␉⏎hello⏎0⏎⏎",
    "chunk size with a blank within": f"{CHUNKED}0 5⏎hello⏎0⏎⏎",
    "chunk size with a bare semicolon": f"{CHUNKED}5;⏎hello⏎0⏎⏎",
    "last chunk with a bare semicolon": f"{CHUNKED}5⏎hello⏎0;⏎⏎",
    "blank before the semicolon": f"{CHUNKED}5 ;a=b⏎hello⏎0⏎⏎",
    "CR in a chunk extension": f"{CHUNKED}5;a␍b⏎hello⏎0⏎⏎",
    "CR behind a chunk extension": f"{CHUNKED}5;a␍␍⏎hello⏎0⏎⏎",
    "NUL in a chunk extension": f"{CHUNKED}5;a=␀⏎hello⏎0⏎⏎",
    "a control in a chunk extension": f"{CHUNKED}5;a=\x01⏎hello⏎0⏎⏎",
    "DEL in a chunk extension": f"{CHUNKED}5;a=\x7f⏎hello⏎0⏎⏎",
    "LF in a quoted chunk extension": f'{CHUNKED}5;a="␊"⏎hello⏎0⏎⏎',
    "LF after the last chunk": f"{CHUNKED}5⏎hello⏎0␊␊",
    "LF at the end of the trailers": f"{CHUNKED}5⏎hello⏎0⏎X: y⏎␊",
    "LF between trailers": f"{CHUNKED}5⏎hello⏎0⏎X: y␊Y: z⏎⏎",
    "CR at the end of the trailers": f"{CHUNKED}5⏎hello⏎0⏎X: y␍⏎⏎",
    "a fold in the trailers": f"{CHUNKED}5⏎hello⏎0⏎X: y⏎ z⏎⏎",
    "length in octal": f"{SIZED}Content-Length: 0o5⏎⏎hello",
    "length that octal would read otherwise": f"{SIZED}Content-Length: 010⏎⏎helloworld",
    "length of minus nothing": f"{SIZED}Content-Length: -0⏎⏎",
    "length of two zeros": f"{SIZED}Content-Length: 00⏎⏎",
    "length behind a form feed": f"{SIZED}Content-Length: \x0c5⏎⏎hello",
    "length with an underscore": f"{SIZED}Content-Length: 0_5⏎⏎hello",
    "length with a fraction": f"{SIZED}Content-Length: 5;q=1⏎⏎hello",
}
SPELLED = {"⏎": "\r\n", "␊": "\n", "␍": "\r", "␀": "\0", "␉": "\t"}
PIECES = [
    *(bytes([byte]) for byte in b'\0\x01\t\n\x0b\x0c\r "#%,-./0159:;<?AZ\\_afx\x7f\x80\xff'),
    b"\r\n",
    b"\r\n ",
    b"\n\n",
    b"\r\n\r\n",
    b"\r\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: other\r\n",
    b"%0d%0a",
    b"%00",
    b"%2f",
    b"..",
    b"chunked",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"GET /koodrive/SMUGGLED HTTP/1.1\r\n",
    b"X: y\r\n",
]


def cases(token):
    """Name and bytes of each, in an order that does not change."""
    texts = dict(PROBES)
    for file in sorted(WIRE.glob("h1_*.rs")):
        for at, text in enumerate(literals(file.read_text())):
            if " HTTP/" in text:
                texts.setdefault(f"{file.stem} {at}: {text[:60]}", text)
            elif re.match(r"[0-9A-Fa-f]+[;⏎␊␍]", text):
                texts.setdefault(f"{file.stem} {at}: {text[:60]}", CHUNKED + text)
            elif re.match(r"[\w-]+: ", text):
                texts.setdefault(
                    f"{file.stem} {at}: {text[:60]}", f"{SIZED}{text}Content-Length: 5⏎⏎hello"
                )
    for path in re.findall(r'"(/[^"⏎]*)"', (WIRE / "h1_paths.rs").read_text()):
        path = path.replace("\\\\", "\\")
        head = f"POST {path} HTTP/1.1⏎{{H}}{{A}}Content-Type: application/json⏎Content-Length: {len(BATCH)}⏎⏎"
        texts.setdefault(f"path {path}", head + BATCH)
    return [(name, raw(text, token)) for name, text in texts.items()]


def literals(rust):
    """Its strings that hold raw requests or chunks, as the compiler reads them."""
    for found in re.finditer(r'(format!\(\s*)?"((?:[^"\\]|\\.)*)"', rust, re.DOTALL):
        is_format, text = found.groups()
        if "⏎" not in text:
            continue
        text = re.sub(r"\\\n\s*", "", text)
        text = re.sub(r"\\u\{([0-9a-f]+)\}", lambda code: chr(int(code[1], 16)), text)
        text = re.sub(r'\\(["\\])', r"\1", text)
        if is_format:
            text = (
                re.sub(r"\{[a-z_.]+\}|(?<!\{)\{\}", "x", text).replace("{{", "{").replace("}}", "}")
            )
        yield text


def raw(text, token):
    text = text.replace("{H}", "Host: gateway⏎").replace("{A}", f"Authorization: Bearer {token}⏎")
    text = text.replace("{T}", token)
    for sign, meant in SPELLED.items():
        text = text.replace(sign, meant)
    return codecs.encode(text, "utf-8")


def mutations(cases, count, seed):
    """Each differs from its case in one to three places, seldom within the token."""
    chance = random.Random(seed)
    for at in range(count):
        name, data = chance.choice(cases)
        data = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            mutate(chance, data)
        yield f"mutation {at} of {name}", bytes(data)


def mutate(chance, data):
    token = re.search(rb"Bearer \S+", data)
    places = [
        at for at in range(len(data) + 1) if not token or not token.start() < at < token.end()
    ]
    at = chance.choice(places)
    match chance.randrange(6):
        case 0 | 1:
            data[at:at] = chance.choice(PIECES)
        case 2:
            data[at : at + 1] = chance.choice(PIECES)
        case 3:
            del data[at : at + chance.randint(1, 4)]
        case 4:
            lines = bytes(data).split(b"\r\n")
            one = chance.randrange(len(lines))
            lines.insert(chance.randrange(len(lines) + 1), lines[one])
            data[:] = b"\r\n".join(lines)
        case 5:
            data[at : at + 1] = bytes(data[at : at + 1]).swapcase()

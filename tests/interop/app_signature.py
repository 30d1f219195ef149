#!/usr/bin/env python3
"""AppId/AppSecret signatures of KooDrive, written from its documents alone.

An implementation of its own, to compare the gateway's with: it shares no code and no structure
with src/forward/sign.rs. Prints the vectors that the tests of src/forward/sign.rs read:

    python3 tests/interop/app_signature.py > tests/fixtures/app_signature.json

The first vector is the worked example of the project's notes on the documents.
"""

import hashlib
import hmac
import json
import random
from datetime import datetime, timezone
from urllib.parse import quote, unquote_plus, unquote_to_bytes

UNRESERVED = "-_.~"


def canonical_uri(path: str) -> str:
    decoded = [unquote_to_bytes(part) for part in path.split("/")[1:]]
    kept: list[bytes] = []
    for part in decoded:
        if part == b"..":
            kept = kept[:-1]
        elif part != b".":
            kept.append(part)
    uri = "".join("/" + quote(part, safe=UNRESERVED) for part in kept)
    return uri if uri.endswith("/") else uri + "/"


def canonical_query(query: str) -> str:
    pairs = []
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        pairs.append((unquote_plus(name).encode(), unquote_plus(value).encode()))
    return "&".join(
        quote(name, safe=UNRESERVED) + "=" + quote(value, safe=UNRESERVED)
        for name, value in sorted(pairs)
    )


def sign(case: dict) -> dict:
    signed = {"host": case["host"], "x-date": case["x_date"], "x-user-id": case["user_id"]}
    names = sorted(signed)
    canonical = "\n".join(
        [
            case["method"].upper(),
            canonical_uri(case["path"]),
            canonical_query(case["query"] or ""),
            "".join(f"{name}:{signed[name].strip()}\n" for name in names),
            ";".join(names),
            hashlib.sha256(case["body"].encode()).hexdigest(),
        ]
    )
    to_sign = "HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    key = case["app_secret"].encode()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"HMAC-SHA256 AppId={case['app_id']},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return case | {"authorization": authorization}


def main() -> None:
    batch = (
        '{"curDeptId":1575416580416769793,"users":[{"targetDeptName":"Dept",'
        '"personalCapacity":10,"isAllocateCapacity":true}]}'
    )
    preverify = "/koodrive/ose/v1/users/batchimport/preverify"
    requests = [
        ("POST", preverify, None, batch),
        ("POST", preverify, "", batch),
        ("POST", preverify + "/", None, batch),
        ("POST", preverify, None, ""),
        ("POST", preverify, None, batch.replace("Dept", "研发一部")),
        ("POST", preverify, "language=zh-CN", '{"部门": "研发", "备注": "空 格\\n"}'),
        ("GET", "/koodrive/ose/v1/userList", "offset=0&limit=100", ""),
        ("GET", "/koodrive/ose/v1/userList", "limit=100&offset=0", ""),
        ("GET", "/koodrive/ose/v1/userList", "limit=100&offset=", ""),
        ("GET", "/koodrive/ose/v1/userList", "flag", ""),
        ("GET", "/koodrive/ose/v1/userList", "a=2&a=1&a=10", ""),
        ("GET", "/koodrive/ose/v1/userList", "name=%E5%BC%A0%E4%B8%89", ""),
        ("GET", "/koodrive/ose/v1/userList", "name=%e5%bc%a0&x=1", ""),
        ("GET", "/koodrive/ose/v1/userList", "q=a+b&r=a%20b", ""),
        ("GET", "/koodrive/ose/v1/userList", "q=a%2Bb%26c%3Dd", ""),
        ("GET", "/koodrive/ose/v1/userList", "B=1&a=2&_=3&~=4&-=5&0=6", ""),
        ("GET", "/koodrive/ose/v1/userList", "x=1&&y=2&", ""),
        ("GET", "/koodrive/ose/v1/userList", "u=https://h/p?q=1:8080/@!$'()*,;", ""),
        ("GET", "/koodrive/ose/v1/userList", "%7Ename=%7e", ""),
        ("GET", "/", None, ""),
        ("GET", "/koodrive/ose/v1/users/1505084218764547200", None, ""),
        ("PUT", "/koodrive/ose/v1/users/1505084218764547200", None, '{"status":1}'),
        ("DELETE", "/koodrive/ose/v1/users/1505084218764547200", "force=true", ""),
        ("GET", "/koodrive/ose/v1/files/%E6%96%87%E4%BB%B6.txt", None, ""),
        ("GET", "/koodrive/ose/v1/files/a%20b%2fc", None, ""),
        ("GET", "/koodrive/ose/v1/files/a+b@c:d,e;f=g&h$i!j'k(l)m*n", None, ""),
        ("GET", "/koodrive/./ose/../ose/v1/userList", None, ""),
        ("GET", "/koodrive/%2e%2E/koodrive/ose", None, ""),
        ("GET", "/koodrive//ose///v1/", None, ""),
        ("GET", "/koodrive/ose/~user/-_.~", None, ""),
        ("POST", "/koodrive/ose/v1/files/create", None, "x" * 5000),
        ("PATCH", "/koodrive/ose/v1/files", "k=v", "\u0000\u0001binary\u007f"),
        ("HEAD", "/koodrive/ose/v1/service", None, ""),
        ("OPTIONS", "/koodrive/ose/v1/service", None, ""),
    ]
    chance = random.Random(20240909)
    for _ in range(30):
        letters = "abcXYZ019-_.~ %/?&=+文件夹🚀é"
        word = lambda: quote("".join(chance.choices(letters, k=chance.randint(1, 8))), safe="")
        path = "/koodrive/" + "/".join(word() for _ in range(chance.randint(1, 4)))
        query = "&".join(f"{word()}={word()}" for _ in range(chance.randint(0, 4)))
        body = "".join(chance.choices(letters, k=chance.randint(0, 40)))
        requests.append((chance.choice(["GET", "POST", "PUT"]), path, query or None, body))

    cases = []
    for number, (method, path, query, body) in enumerate(requests):
        at = 1725852805 + number * 86_399
        cases.append(
            sign(
                {
                    "method": method,
                    "path": path,
                    "query": query,
                    "host": "10.32.45.165:8443" if number % 3 == 1 else "cn.myhuaweicloud-koodrive.com",
                    "body": body,
                    "at": at,
                    "x_date": datetime.fromtimestamp(at, timezone.utc).strftime("%Y%m%dT%H%M%SZ"),
                    "app_id": f"{number:064x}",
                    "app_secret": "example-app-secret" if number % 2 == 0 else f"geheim-{number}-密",
                    "user_id": str(1505084218764547200 + number),
                }
            )
        )
    print(json.dumps(cases, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()

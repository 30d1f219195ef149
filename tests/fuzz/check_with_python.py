#!/usr/bin/env python3
"""Bodies that passed, read with Python's json: does it take them, and find the same integers?

    BATCH_PASSED=passed cargo +nightly fuzz run --fuzz-dir tests/fuzz batch
    python3 tests/fuzz/check_with_python.py passed

Both of its readers are asked, the one in C and the one in Python, and both refuse a member that
comes twice. Exit code 1 and one line per difference if there is any.
"""

import json
import json.decoder
import json.scanner
import sys

DEPARTMENT_MAX = 2**63 - 1


def unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def finite(written):
    number = float(written)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{written} is infinite")
    return number


OPTIONS = {"object_pairs_hook": unique, "parse_constant": refuse, "parse_float": finite}


def python_decoder():
    decoder = json.JSONDecoder(**OPTIONS)
    decoder.parse_string = json.decoder.py_scanstring
    decoder.scan_once = json.scanner.py_make_scanner(decoder)
    return decoder


IN_C = json.JSONDecoder(**OPTIONS)
IN_PYTHON = python_decoder()


def integer(value, least):
    if type(value) is not int or not least <= value <= DEPARTMENT_MAX:
        raise ValueError(f"{value!r} is no integer from {least}")
    return value


def check(body, department, capacities):
    text = body.decode("utf-8", errors="strict")
    text.encode("utf-8")
    for decoder in (IN_C, IN_PYTHON):
        batch = decoder.decode(text)
        if integer(batch["curDeptId"], 1) != department:
            raise ValueError(f"curDeptId {batch['curDeptId']} instead of {department}")
        found = [integer(user["personalCapacity"], 0) for user in batch["users"]]
        if found != capacities:
            raise ValueError(f"capacities {found} instead of {capacities}")
        for user in batch["users"]:
            if type(user["isAllocateCapacity"]) is not bool:
                raise ValueError("isAllocateCapacity is no boolean")
            if not isinstance(user.get("targetDeptName"), (str, type(None))):
                raise ValueError("targetDeptName is no string")
        # Refuses lone surrogates, wherever they are.
        json.dumps(batch, ensure_ascii=False).encode("utf-8")


def entries(file):
    while head := file.readline():
        length, department, capacities = head.split()
        body = file.read(int(length))
        if file.read(1) != b"\n":
            raise SystemExit("the file is cut off or damaged")
        yield body, int(department), [int(capacity) for capacity in capacities.split(b",")]


def main():
    bodies = differences = 0
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            for body, department, capacities in entries(file):
                bodies += 1
                try:
                    check(body, department, capacities)
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    differences += 1
                    print(f"{error}: {body!r}")
    print(f"{bodies} bodies, {differences} differences, Python {sys.version.split()[0]}")
    raise SystemExit(1 if differences or not bodies else 0)


if __name__ == "__main__":
    main()

"""Reads what callgrind wrote, and tells apart whose instructions they were."""

import re
from collections import defaultdict

# "fn=(12) name" defines a name, "fn=(12)" uses it again; files and objects likewise.
NAMED = re.compile(r"^(c?(?:ob|fi|fe|fl|fn))=(?:\((\d+)\))? ?(.*)$")
LIBRARY = re.compile(r"/registry/src/[^/]*/(.+?)-\d[^/]*/")
ROOM = re.compile(r"(?:^|/)src/([a-z_]+)(?:\.rs|/)")
CRATE = re.compile(r"\bkoodrive_gateway::([a-z_]+)(?:::|>|$)")


# These are entered again from what they call, so that a sum of entries would say nothing.
SPINE = ("app", "commands", "lifecycle", "main", "pipeline", "server")


class Counted:
    """Per call: all of it, and by place."""

    def __init__(self, own, whole, calls):
        self.total = sum(own.values()) / calls
        self.own = {place: count / calls for place, count in own.items()}
        self.whole = {place: count / calls for place, count in whole.items()}

    def places(self):
        """Place, its own instructions and, of a room, those with what it calls; the dearest first."""
        places = sorted(self.own, key=self.own.get, reverse=True)
        small = [
            place
            for place in places
            if self.own[place] < 0.005 * self.total and place not in self.whole
        ]
        for place in places:
            if place not in small:
                yield place, self.own[place], self.whole.get(place)
        yield "others", sum(self.own[place] for place in small), None


def read(path, calls):
    """The file callgrind dumped after so many calls."""
    names = {"ob": {}, "fl": {}, "fn": {}}
    now = {}
    own, whole = defaultdict(int), defaultdict(int)
    callee = None
    for line in path.open(errors="replace"):
        if found := NAMED.match(line):
            key, number, text = found.groups()
            table = names[
                "fl" if key in ("fl", "fi", "fe", "cfi", "cfl") else key.removeprefix("c")
            ]
            if number:
                text = table.setdefault(number, text) if text else table[number]
            now[key] = text
            if key in ("fl", "fi", "fe"):
                now["file"] = text
            elif key == "fn":
                now.pop("cfn", None)
        elif line.startswith("calls="):
            callee = now["cfn"]
        elif line[0] in "0123456789+-*":
            cost = int(line.split()[1])
            if callee is None:
                own[place(now)] += cost
            else:
                room, caller = room_of(callee), room_of(now["fn"])
                if room not in (None, caller, *SPINE):
                    whole[f"room {room}"] += cost
                callee = None
    return Counted(own, whole, calls)


def place(now):
    """Whose source it is, the line being where the compiler says, even where it was inlined."""
    file = now.get("file", "")
    if found := LIBRARY.search(file):
        return found[1]
    if re.search(r"/rustc/|/rust/deps/|(?:^|/)library/", file):
        return standard_library(now["fn"])
    if found := ROOM.search(file):
        return f"room {found[1]}" if "tests/" not in file else "floor"
    function = now["fn"]
    if re.match(
        r"_?_?(?:int_)?(?:malloc|free|realloc|calloc|memalign|posix_memalign|cfree|unlink)",
        function,
    ):
        return "libc: allocation"
    if re.match(r"_?_?mem(?:cpy|move|set|cmp|chr)|_?_?bcmp", function):
        return "libc: copying and comparing"
    object_name = now.get("ob", "").rsplit("/", 1)[-1]
    if re.match(r"libc|ld-linux|libm|libpthread|libgcc", object_name):
        return "libc: other"
    return "native code of libraries"


def standard_library(function):
    """Whose it is: that of the function it was compiled into, unless that is its own."""
    found = re.search(r"[a-zA-Z_][a-zA-Z0-9_]*(?=::)", function)
    crate = found[0] if found else "std"
    if crate == "koodrive_gateway":
        return f"room {room_of(function) or 'main'}"
    return (
        "Rust's standard library" if crate in ("core", "alloc", "std") else crate.replace("_", "-")
    )


def room_of(function):
    """Of a function of ours; none of a library's that was only made for one of our types."""
    found = CRATE.match(function.lstrip("<"))
    return found[1] if found else None

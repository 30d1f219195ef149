"""The bill of materials, held to what cargo compiles."""

import json
import os
import re

from parts import CACHE, ROOT, check, run, say

TOOL = "0.5.9"


def sbom(world):
    """the bill of materials: every crate that is compiled in, and none that tests ask for"""
    home = CACHE / f"cargo-cyclonedx-{TOOL}"
    if not (home / "bin/cargo-cyclonedx").exists():
        say("building cargo-cyclonedx (once; a minute or two) …")
        build = {"CARGO_TARGET_DIR": str(world.folder / "cargo-cyclonedx")}
        run("nice", "cargo", "install", "--quiet", "--locked", "--root", home, f"cargo-cyclonedx@{TOOL}", environment=build, seconds=2400)
    file = world.folder / "koodrive-gateway.cdx.json"
    run(ROOT / "deploy/sbom", file, environment={"PATH": f"{home / 'bin'}:{os.environ['PATH']}"})
    bill = json.loads(file.read_text())
    told = {(one["name"], one["version"]): one for one in bill["components"]}
    compiled, tested = crates("normal"), crates("dev", "--depth", "1")
    check(50 < len(compiled) and compiled <= told.keys(), f"not in the bill: {compiled - told.keys()}")
    only_tested = tested - crates("normal,build")
    check(only_tested and not only_tested & told.keys(), f"of tests alone: {only_tested & told.keys()}")
    for name in compiled:
        one = told[name]
        check(one["licenses"] and one["hashes"] and one["purl"].startswith("pkg:cargo/"), one)
    ours = bill["metadata"]["component"]
    check((ours["name"], ours["version"]) == ("koodrive-gateway", version()), ours)
    check(str(ROOT) not in file.read_text(), "it names a path of this machine")
    say(f"     {len(told)} crates, {len(compiled)} of them compiled in")


BILLS = [sbom]


def crates(edges, *words):
    """Name and version of what the gateway depends on."""
    lines = run("cargo", "tree", "--locked", "--edges", edges, *words, "--prefix", "none", "--format", "{p}", cwd=ROOT).splitlines()
    named = {tuple(line.split()[:2]) for line in lines if line}
    return {(name, at.removeprefix("v")) for name, at in named if name != "koodrive-gateway"}


def version():
    return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]

"""What Jaeger knows of a call, asked as Jaeger's own page asks: over its query API."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

GATEWAY = "koodrive-gateway"
ARRIVE_SECONDS = 20


class Jaeger:
    def __init__(self, query_port, otlp_port):
        self.api = f"http://127.0.0.1:{query_port}/api"
        self.otlp = f"http://127.0.0.1:{otlp_port}/v1/traces"

    def get(self, path, **query):
        address = f"{self.api}/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise

    def by_x_trace_id(self, x_trace_id):
        """What a person does who has only the X-Traceid of an error message: searches for the tag."""
        tags = json.dumps({"koodrive.traceid": x_trace_id})
        return [Trace(found) for found in self.get("traces", service=GATEWAY, tags=tags, limit=20)]

    def by_trace_id(self, trace_id):
        found = self.get(f"traces/{trace_id}")
        return Trace(found[0]) if found else None

    def find(self, x_trace_id, enough):
        """The one trace with this X-Traceid, as soon as it is `enough` or time is up."""
        give_up = time.monotonic() + ARRIVE_SECONDS
        while True:
            found = self.by_x_trace_id(x_trace_id)
            late = give_up < time.monotonic()
            if late and len(found) != 1:
                raise AssertionError(f"{len(found)} traces carry koodrive.traceid={x_trace_id}")
            if len(found) == 1 and (late or enough(found[0])):
                return found[0]
            time.sleep(0.1)

    def spans_named(self, name):
        """All spans of the gateway's with this name, whatever their traces."""
        found = self.get("traces", service=GATEWAY, operation=name, limit=1000)
        return [span for trace in found for span in Trace(trace).named(name)]

    def tell(self, service, name, trace_id, span_id, started, ended):
        """Sends a span of another service, as a caller that is traced itself would."""
        span = {
            "traceId": trace_id, "spanId": span_id, "name": name, "kind": 3,
            "startTimeUnixNano": str(int(started * 1e9)), "endTimeUnixNano": str(int(ended * 1e9)),
        }
        named = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
        content = {"resourceSpans": [{"resource": named, "scopeSpans": [{"spans": [span]}]}]}
        request = urllib.request.Request(self.otlp, json.dumps(content).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


class Span:
    def __init__(self, found, processes):
        self.id = found["spanID"]
        self.trace_id = found["traceID"]
        self.name = found["operationName"]
        self.service = processes[found["processID"]]["serviceName"]
        self.tags = {tag["key"]: tag["value"] for tag in found["tags"]}
        self.kind = self.tags.get("span.kind", "internal")
        self.failed = self.tags.get("error") is True
        self.start = found["startTime"]
        self.duration = found["duration"]
        self.end = self.start + self.duration
        parents = [each for each in found["references"] if each["refType"] == "CHILD_OF"]
        self.parent = parents[0]["spanID"] if parents else None
        self.links = [
            (each["traceID"], each["spanID"]) for each in found["references"] if each["refType"] != "CHILD_OF"
        ]

    def __getitem__(self, tag):
        return self.tags.get(tag)


class Trace:
    def __init__(self, found):
        self.id = found["traceID"]
        spans = [Span(span, found["processes"]) for span in found["spans"]]
        self.spans = sorted(spans, key=lambda span: (span.start, -span.duration))

    def children(self, span_id):
        return [span for span in self.spans if span.parent == span_id]

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        found = self.named(name)
        assert len(found) == 1, f"{len(found)} spans are named {name}, not one:\n{self}"
        return found[0]

    def server(self, x_trace_id):
        """The gateway's SERVER span of the call with this X-Traceid."""
        found = [span for span in self.spans if span["koodrive.traceid"] == x_trace_id and span.kind == "server"]
        assert len(found) == 1, f"{len(found)} SERVER spans carry {x_trace_id}:\n{self}"
        return found[0]

    def shape(self, span):
        """A span and what is below it, in one order for all: `(name, [children])`."""
        below = sorted((self.shape(child) for child in self.children(span.id)), key=repr)
        return (span.name, below)

    def __str__(self):
        """The trace as a page would draw it: who called whom, when, how long, and what went wrong."""
        if not self.spans:
            return "  (no spans)"
        first = min(span.start for span in self.spans)
        whole = max(span.start + span.duration for span in self.spans) - first or 1
        known = {span.id for span in self.spans}
        lines = []

        def draw(span, depth):
            left = round(28 * (span.start - first) / whole)
            bar = (" " * left + "━" * max(1, round(28 * span.duration / whole)))[:29]
            status = span["http.response.status_code"]
            words = [f"{'  ' * depth}{span.name}"[:56].ljust(56), bar.ljust(29), f"{span.duration / 1000:9.2f} ms"]
            words += [str(status)] if status is not None else []
            words += ["ERROR"] if span.failed else []
            words += [str(span[tag]) for tag in ("gateway.reason", "gateway.token_source") if span[tag] is not None]
            words += [f"→ {span_id}" for _, span_id in span.links]
            lines.append("  " + " ".join(words))
            for child in self.children(span.id):
                draw(child, depth + 1)

        for span in self.spans:
            if span.parent not in known:
                draw(span, 0)
        return "\n".join(lines)


def shape_of(text):
    """The expected shape, from its drawing: one span a line, children indented by two."""
    lines = [line for line in text.splitlines() if line.strip()]
    margin = len(lines[0]) - len(lines[0].lstrip())
    stack = [("", [])]
    for line in lines:
        depth = (len(line) - len(line.lstrip()) - margin) // 2
        del stack[depth + 1 :]
        node = (line.strip(), [])
        stack[-1][1].append(node)
        stack.append(node)

    def ordered(node):
        return (node[0], sorted((ordered(child) for child in node[1]), key=repr))

    return ordered(stack[0][1][0])

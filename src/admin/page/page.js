// Keeps the page up to date, and shows calls as they end. Everything that comes from calls is put
// in as text, never as markup.
"use strict";

const EVERY_MS = 5000;
const CALLS_MAX = 20;
const STAGES = ["accept", "authorize", "limit", "validate", "token", "forward"];

const bar = document.getElementById("follow");
const box = bar.querySelector("input");
const notice = bar.querySelector("[role=status]");
const said = document.getElementById("said");
const calls = document.getElementById("calls");
const jaeger = document.getElementById("live").dataset.jaeger;

/** Whether somebody is reading or using this part of the page. */
function isInUse(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) ||
    (!selection.isCollapsed && selection.containsNode(part, true));
}

/** Puts in what has changed, part by part. */
function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of document.querySelectorAll("header[id], section[id]:not(#live)")) {
    const other = fresh.getElementById(part.id);
    if (other && other.innerHTML !== part.innerHTML && !isInUse(part)) {
      part.replaceWith(document.adoptNode(other));
    }
  }
}

async function keepUpToDate() {
  if (box.checked && !document.hidden) {
    try {
      const answer = await fetch("./", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(EVERY_MS) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      show(await answer.text());
      notice.textContent = "";
      notice.className = "";
    } catch (error) {
      notice.textContent = `no answer, this page is old (${error.message})`;
      notice.className = "bad";
    }
  }
  setTimeout(keepUpToDate, EVERY_MS);
}

function put(parent, tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

function add(call) {
  const line = document.createElement("li");
  put(line, "time", String(call.time).slice(11, 23));
  const failed = call.status >= 500 ? "bad" : call.status >= 400 ? "note" : "good";
  put(line, "b", `${call.status} ${call.reason ?? ""}`, failed);
  put(line, "code", `${call.method} ${call.path}`);
  put(line, "span", `${Number(call.duration_ms).toFixed(1)} ms`);
  const ran = STAGES.filter((stage) => typeof call[`${stage}_ms`] === "number");
  put(line, "span", ran.map((stage) => `${stage} ${call[`${stage}_ms`].toFixed(1)}`).join(" "), "stages");
  const traced = put(line, "code", "");
  const link = put(traced, jaeger ? "a" : "span", String(call.traceid));
  if (jaeger) link.href = `${jaeger}/trace/${encodeURIComponent(call.trace_id)}`;
  calls.prepend(line);
  while (calls.children.length > CALLS_MAX) calls.lastChild.remove();
}

function listen() {
  const events = new EventSource("calls");
  events.addEventListener("open", () => {
    if (!calls.firstChild) said.textContent = "Waiting for the next call …";
  });
  events.addEventListener("call", (event) => {
    said.textContent = `The last ${CALLS_MAX}, newest first.`;
    if (box.checked) add(JSON.parse(event.data));
  });
  events.addEventListener("missed", (event) => {
    said.textContent = `${event.data} calls were too fast to show.`;
  });
  events.addEventListener("error", () => {
    const ended = events.readyState === EventSource.CLOSED;
    said.textContent = ended ? "Too many watch already; load the page again later." : "Connection lost, trying again …";
  });
}

bar.hidden = false;
setTimeout(keepUpToDate, EVERY_MS);
listen();

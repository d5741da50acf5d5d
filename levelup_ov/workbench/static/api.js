// Calls of the service's own interface, as a channel makes them.

import { given } from "/screens/dom.js";

const facts = given("facts");
const KEPT = "levelup_ov key";

export const key = facts.key ?? sessionStorage.getItem(KEPT) ?? "";

const form = document.getElementById("key-form"); // there is none where everybody knows the key
if (form) form.hidden = key !== "";
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, document.getElementById("key").value);
  location.reload();
});

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// One request and its answer. `body` is a value or a text that is sent as it is; `failure` says why there is no answer.
export async function call(method, path, body, more = {}) {
  const headers = { Authorization: `token ${key}`, Accept: "application/json", ...more };
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  if (text !== undefined) headers["Content-Type"] = "application/json";
  const id = crypto.randomUUID();
  const sent = { method, path, headers, text, body: text && parsed(text) };
  const begun = performance.now();
  try {
    const answer = await fetch(path, { method, headers: { ...headers, "X-Request-ID": id }, body: text });
    const received = await answer.text();
    if (answer.status === 401 && form) form.hidden = false;
    return {
      id, sent, status: answer.status, ok: answer.ok, text: received, body: parsed(received),
      replayed: answer.headers.get("Idempotency-Replayed") === "true", milliseconds: Math.round(performance.now() - begun),
    };
  } catch {
    return { id, sent, ok: false, failure: "The service did not answer. Does it still run?", milliseconds: 0 };
  }
}

// The provider calls of an earlier request, redacted.
export async function callsOf(id) {
  return (await call("GET", `/workbench/calls/${id}`)).body?.calls ?? null;
}

export function words(answer) {
  return answer.failure ?? answer.body?.error?.message ?? `The service answered with status ${answer.status}.`;
}

// The whole list of a provider's locations, by account.
export async function places(account) {
  const answer = await call("GET", `/merchants/${encodeURIComponent(account)}/locations`);
  return { answer, found: (answer.body?.locations ?? []).map((each) => each.location) };
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// The line that repeats a request in a shell.
export function curl({ method, path, headers, text }) {
  const shown = Object.entries(headers).filter(([name]) => name !== "Accept");
  const parts = ["curl -s"];
  if (method !== (text === undefined ? "GET" : "POST")) parts.push(`-X ${method}`);
  parts.push(quoted(location.origin + path), ...shown.map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`));
  if (text !== undefined) parts.push(`-d ${quoted(text)}`);
  return parts.join(" ");
}

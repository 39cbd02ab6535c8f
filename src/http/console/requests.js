/* ---- requests, signing in and out ---- */

const base = new URL("v1/actions", location.href.split(/[?#]/)[0]);

class Fault extends Error {
  constructor(status, code, words, after) { super(words); Object.assign(this, { status, code, after }); }
}
let authorization = null;   // in memory only
let mode = "omit";          // the fetch option `credentials`
let signing = null;
let session = new AbortController(); // the session of pending requests; aborted at sign-out

async function ask(url, { accept = "application/json", signal } = {}) {
  const mine = session.signal;
  signal = signal ? AbortSignal.any([mine, signal]) : mine;
  for (;;) {
    const [used, usedMode] = [authorization, mode];
    const headers = { Accept: accept };
    if (used) headers.Authorization = used;
    const response = await fetch(url, { headers, signal, credentials: usedMode, cache: "no-store", redirect: "error" });
    const date = Date.parse(response.headers.get("Date") ?? "");
    // The `Date` header has whole seconds, so small differences are ignored.
    if (date) skew = Math.abs(date - Date.now()) > 3000 ? date - Date.now() : 0;
    if (response.ok) return response;
    if (response.status !== 401) throw await faultOf(response);
    if (used !== authorization || usedMode !== mode) continue;
    const challenge = response.headers.get("WWW-Authenticate") ?? "";
    // For these schemes the browser would show its own dialog. Otherwise cookies may help.
    if (mode === "omit" && !used && !/basic|digest|negotiate|ntlm/i.test(challenge)) { mode = "same-origin"; continue; }
    signing ??= signIn(challenge, used !== null);
    await signing;
  }
}
/* Reads an answer, and the address of the next page. An answer to an ended session is discarded. */
async function read(url, options) {
  const mine = session.signal;
  const response = await ask(url, options);
  const body = JSON.parse(await response.text(), keepDigits);
  mine.throwIfAborted();
  return { body, next: nextOf(response, url) };
}
/* Keeps numbers that a float cannot hold as they were written. */
function keepDigits(key, value, context) {
  if (typeof value !== "number" || !context?.source || !JSON.rawJSON) return value;
  return /^-?\d{16,}$/.test(context.source) ? JSON.rawJSON(context.source) : value;
}
/* Reads a list of records. */
async function readRecords(url, options) {
  const { body, next } = await read(url, options);
  return { records: body.map(ofRecord), next };
}
function listAt(query) {
  query.set("view", "records");
  return new URL(`?${query}`, base);
}
async function faultOf(response) {
  const body = await response.json().catch(() => ({}));
  const after = Number(response.headers.get("Retry-After"));
  return new Fault(response.status, body.error_code, body.description ?? `The server answered ${response.status}`, after > 0 ? after * 1000 : null);
}
/* The message for a failed request; empty if the page itself aborted it. */
function wordsOf(fault) {
  return fault instanceof Fault ? fault.message : isAborted(fault) ? "" : "No connection";
}
function nextOf(response, url) {
  const link = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "");
  const next = link && new URL(link[1], url);
  return next && next.origin === location.origin ? next : null;
}

/* Discards all data, because another user may sign in next. */
function forget() {
  session.abort();
  session = new AbortController();
  authorization = null;
  forgetFeed();
  actions.clear();
  forgetHeld();
  estimates.clear();
  forgetList();
  forgetCounts();
  forgetDetail();
  $("leave").hidden = true;
  dirty(true);
}
function signIn(challenge, again) {
  if (again) forget();
  const by = /bearer/i.test(challenge) && !/basic/i.test(challenge) ? "bearer" : "basic";
  if (!again) document.querySelector(`input[name="by"][value="${by}"]`).checked = true;
  chooseBy();
  setText($("refused"), again ? "These were not accepted." : "");
  link("refused", "Signed out");
  presentSignIn(again);
  return new Promise(resolve => {
    $("credentials").onsubmit = event => {
      event.preventDefault();
      const given = givenCredentials();
      // The browser would not send an invalid header.
      if (/[^\x20-\x7e]/.test(given)) { setText($("refused"), "A token has no such characters."); return; }
      accept(given);
      resolve();
    };
  });
}
function presentSignIn(again) {
  const present = () => {
    if (!$("signin").open) $("signin").showModal();
    $(chosenBy() === "bearer" ? "token" : again ? "password" : "user").focus();
  };
  // The second Escape always closes a dialog, so open it again.
  $("signin").onclose = () => { if (signing) present(); };
  present();
}
function givenCredentials() {
  if (chosenBy() === "bearer") return `Bearer ${$("token").value.trim()}`;
  const pair = new TextEncoder().encode(`${$("user").value}:${$("password").value}`);
  return `Basic ${btoa(String.fromCharCode(...pair))}`;
}
function accept(given) {
  authorization = given;
  $("password").value = $("token").value = "";
  signing = null;
  $("signin").close();
  $("leave").hidden = false;
  link("waiting", "Signing in");
}
const chosenBy = () => document.querySelector('input[name="by"]:checked').value;
function chooseBy() {
  for (const by of ["basic", "bearer"]) {
    for (const label of document.querySelectorAll(`label.${by}`)) label.hidden = by !== chosenBy();
  }
}

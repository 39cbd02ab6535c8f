/* ---- known actions, and the feed of changes ---- */

const KEPT = 12000;         // actions held in memory
const SILENCE = 20000;      // ms without a byte of the stream, which beats every 15 s
const LONGEST_PAUSE = 30000;
const MOST_TEXT = 32 << 20; // characters of one event
const WORDS = { pending: "queued", running: "executing", active: "executing", cancelling: "executing", completed: "succeeded" };

const actions = new Map();  // by uid
const HELD = 1000;          // changed actions that are held while paused
const held = new Map();     // actions that have changed while paused, up to so many
let unheld = 0;             // changes that were not held: the list is read again
let isPaused = false;
let announced = [];

function stateOf(status, outcome) {
  const state = outcome ?? WORDS[status] ?? status;
  return STATES.includes(state) ? state : "failed";
}
function ofRecord(record) {
  return { ...record, uid: record.action_uid, labels: record.labels ?? {}, state: stateOf(record.status, record.outcome),
    created: millis(record.created_at), started: millis(record.started_at), finished: millis(record.finished_at), seen: millis(record.last_seen_at) };
}

/* Takes an action over if it is newer than the known one. */
function put(action) {
  const known = actions.get(action.uid);
  action.heard = performance.now();
  if (known && known.version >= action.version) { known.heard = action.heard; return; }
  action.listed = known?.listed;
  actions.set(action.uid, action);
  if (action.uid === view.action) detailChanged();
  dirty(true);
}
function putLive(action) {
  if (isPaused) { hold(action); return; }
  const known = actions.get(action.uid);
  put(action);
  if (ALARMS.has(action.state) && known?.state !== action.state) announced.push(action);
  if (action.finished !== null) recountAt(action.finished);
  refreshSoon();
}
function hold(action) {
  if (unheld === 0 && (held.size < HELD || held.has(action.uid))) { held.set(action.uid, action); return; }
  unheld++;
  held.clear();
}
function forgetHeld() {
  unheld = 0;
  held.clear();
}
/* Shows what has changed while the page was paused. */
function takeHeld() {
  const isMore = unheld > 0;
  for (const action of held.values()) put(action);
  forgetHeld();
  evict();
  if (isMore) refreshAll();
  refreshSoon();
}
function heldWords() {
  if (unheld > 0) return `, more than ${HELD.toLocaleString()} changed since`;
  return held.size > 0 ? `, ${held.size.toLocaleString()} changed since` : "";
}
/* Forgets what was known before a time, except for the open action: the store may no longer have it. */
function forgetBefore(time) {
  for (const [uid, action] of actions) if (action.heard < time && uid !== view.action) actions.delete(uid);
}
/* Evicts actions that the filters hide, then those that ended first. */
function evict() {
  if (actions.size <= KEPT) return;
  const rank = action => (matches(action) ? 2 : 0) + (isUnfinished(action) ? 1 : 0);
  const order = [...actions.values()].sort((a, b) => rank(a) - rank(b) || endOf(a) - endOf(b));
  for (const action of order.slice(0, actions.size - KEPT + KEPT / 10)) {
    if (action.uid === view.action) continue;
    actions.delete(action.uid);
    if (matches(action)) endListBefore(action);
  }
}

/* ---- the feed ---- */

let position = null;        // position to resume from
let stream = new AbortController();
let rest = new AbortController();
let heardAt = null;         // server time of the last byte

function forgetFeed() {
  position = heardAt = null;
  announced = [];
  stream.abort();
  rest.abort();
}
/* Says how the page is connected. Unless it is live, time stands still on the page. */
function link(state, words) {
  document.documentElement.dataset.link = state;
  setText($("link"), words);
  drawLink();
}
const isLive = () => document.documentElement.dataset.link === "live";
function drawLink() {
  const isStale = !isLive() && heardAt !== null;
  stoppedAt = isStale ? heardAt : isPaused ? stoppedAt ?? serverTime() : null;
  setAttribute(document.documentElement, "data-stale", isStale);
  setAttribute(document.documentElement, "data-paused", isPaused);
  $("stale").hidden = !isStale;
  if (isStale) setText($("stale"), `What you see is as of ${local(heardAt)} and may have changed since.`);
  else if (isLive()) setText($("link"), isPaused ? `Paused at ${local(stoppedAt)}${heldWords()}` : "Live");
  dirty();
}
function setPaused(paused) {
  isPaused = paused;
  stoppedAt = null;
  setText($("pause"), paused ? "Resume" : "Pause");
  setAttribute($("pause"), "aria-pressed", paused);
  if (!paused) takeHeld();
  drawLink();
}

function changesAfter(after) {
  return ask(`${base}/changes?limit=500&after=${encodeURIComponent(after)}`, { accept: "text/event-stream", signal: stream.signal });
}
/* Resumes, or starts now and then reads the list: what changes meanwhile is in the feed. */
async function connect() {
  if (position !== null) return changesAfter(position);
  const { body } = await read(`${base}/changes`, { signal: stream.signal });
  const response = await changesAfter(body.position);
  position = body.position;
  refreshAll();
  return response;
}
function cutOff() {
  if (isLive()) link("waiting", "No connection");
  stream.abort();
}
async function* blocks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", looked = 0;
  for (;;) {
    const silence = setTimeout(cutOff, SILENCE);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    stream.signal.throwIfAborted();
    heardAt = serverTime();
    text += value;
    if (text.length > MOST_TEXT) throw new Fault(0, "too_long", "An event was too long");
    for (let end; (end = text.indexOf("\n\n", looked)) >= 0; looked = 0) {
      yield text.slice(0, end);
      text = text.slice(end + 2);
    }
    looked = Math.max(text.length - 1, 0);
  }
}
function parsed(block) {
  const found = { event: "", id: null, data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("event:")) found.event = value;
    else if (line.startsWith("id:")) found.id = value;
    else if (line.startsWith("data:")) found.data += value;
  }
  return found;
}
function take(block) {
  const { event, id, data } = parsed(block);
  if (event === "error") {
    const fault = JSON.parse(data);
    throw new Fault(fault.error_code === "cursor_expired" ? 410 : 503, fault.error_code, fault.description, 1000);
  }
  if (event === "changes") {
    for (const record of JSON.parse(data).changes) putLive(ofRecord(record));
    evict();
    if (isPaused) drawLink();
  }
  // Set the position only after the data was handled, so that resuming loses nothing.
  if (id !== null) position = id;
}
/* Waits while nobody looks at the page, so that a hidden page makes no requests. */
function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise(resolve => document.addEventListener("visibilitychange", resolve, { once: true })).then(visible);
}
async function follow() {
  for (let failures = 0; ;) {
    await visible();
    stream = new AbortController();
    let wait = 1000;
    try {
      const response = await connect();
      heardAt = serverTime();
      link("live", "Live");
      if (refresh.isDue) refreshSoon();
      if (failures > 0 && list.fault) startList();
      for await (const block of blocks(response)) {
        failures = 0;
        take(block);
      }
    } catch (fault) {
      failures += isAborted(fault) ? 0 : 1;
      wait = fault.after ?? Math.min(LONGEST_PAUSE, 500 * 2 ** failures) * (.75 + Math.random() / 2);
      if (fault.status === 410) startAnew();
      sayFault(fault, wait);
    } finally {
      stream.abort();
    }
    rest = new AbortController();
    await pause(wait, rest.signal);
  }
}
/* The feed has lost changes: nothing that is known can be trusted. */
function startAnew() {
  position = null;
  actions.clear();
  forgetHeld();
  forgetList();
  forgetCounts();
  dirty(true);
}
function sayFault(fault, wait) {
  const words = wordsOf(fault);
  if (words) link(words === "No connection" ? "waiting" : "refused", `${words}; trying again in ${Math.ceil(wait / 1000)} s`);
}

/* ---- one action: all that the caller may see, its parts and its history ---- */

const PARTS = 50;           // parts that are shown here; all are in the list
const MOST_JSON = 20000;    // characters of a result or of attributes

/* `whole` is the answer of `view=full`, and `readAt` its time. */
const open = {};
forgetDetail();

function forgetDetail() {
  Object.assign(open, { uid: view.action, whole: null, readAt: 0, parts: [], entries: [], next: null, drawn: "", isReading: false, isDue: false });
  for (const id of ["card", "parts", "history"]) $(id).replaceChildren();
  for (const id of ["dropped", "later"]) $(id).hidden = true;
  setText($("unread"), "");
  setText($("title"), view.action ? actions.get(view.action)?.name ?? "Action" : "");
}
const show = uid => go({ action: uid ?? "" });

/* Opens or closes the panel, as the address says. */
function showDetail() {
  if (view.action === open.uid) return;
  const before = open.uid;
  forgetDetail();
  $("detail").hidden = view.action === "";
  setAttribute(document.documentElement, "data-open", view.action !== "");
  $("main").inert = view.action !== "" && narrow.matches;
  if (view.action) {
    if (list.index.has(view.action)) cursor = view.action;
    readDetail();
    $("title").focus();
  } else {
    (rows.get(before) ?? $("list")).focus({ preventScroll: true });
  }
}
function detailChanged() {
  if (open.isReading || document.hidden) open.isDue = true;
  else readDetail(800);
}
async function readDetail(wait = 0) {
  const { uid } = open;
  if (!uid) return;
  open.isReading = true;
  await pause(wait);
  open.isDue = false;
  try {
    if (uid === open.uid) await readWhole(uid);
  } catch (fault) {
    if (uid === open.uid) detailFault(uid, fault);
  }
  if (uid !== open.uid) return;
  open.isReading = false;
  dirty();
  if (open.isDue && !document.hidden) readDetail(800);
}
async function readWhole(uid) {
  const address = `${base}/${encodeURIComponent(uid)}`;
  const [{ body: whole }, past] = await Promise.all([read(`${address}?view=full`), read(`${address}/history?limit=1000`)]);
  const parts = whole.parts.total.number > 0 ? await readParts(uid) : [];
  if (uid !== open.uid) return;
  put(ofRecord(whole.action));
  Object.assign(open, { whole, readAt: serverTime(), parts });
  setText($("unread"), "");
  takeHistory(past, true);
  drawParts();
}
async function readParts(parent) {
  const query = new URLSearchParams({ parent, order: "newest", limit: PARTS });
  return (await readRecords(listAt(query))).records;
}
function takeHistory({ body, next }, isFirst) {
  open.entries = isFirst ? body.history : open.entries.concat(body.history);
  open.next = next;
  $("dropped").hidden = !body.dropped;
  if (body.dropped) setText($("dropped"), `${body.dropped.toLocaleString()} of the oldest steps and notes were dropped.`);
  drawHistory();
}
async function readLater() {
  const { uid, next } = open;
  try {
    const page = next && await read(next);
    if (page && uid === open.uid) takeHistory(page, false);
  } catch (fault) {
    if (uid === open.uid) detailFault(uid, fault);
  }
}
function detailFault(uid, fault) {
  if (isGone(fault)) {
    actions.delete(uid);
    dirty(true);
  }
  setText($("unread"), isGone(fault) ? "This action is not there, or no longer." : wordsOf(fault));
}

/* ---- the card ---- */

function drawDetail() {
  const known = actions.get(open.uid);
  if (!known) return;
  // The record of the full view also has the detail of an error.
  const full = open.whole && ofRecord(open.whole.action);
  const action = full && full.version >= known.version ? full : known;
  drawTimes(action);
  const key = `${action.uid} ${action.version} ${open.readAt}`;
  if (open.drawn === key) return;
  open.drawn = key;
  setText($("title"), action.name);
  const whole = open.whole ?? {};
  const card = make("div", { "data-state": action.state }, stateLine(action), ...troubles(action), facts(action, whole),
    json("Result", whole.result), json("Attributes", whole.attributes));
  $("card").replaceChildren(card);
  drawTimes(action);
}
/* The texts that change with time. */
function drawTimes(action) {
  const find = name => $("card").querySelector(`[data-${name}]`);
  if (find("took")) setText(find("took"), duration(action));
  if (find("rest")) setText(find("rest"), remaining(action));
  for (const name of ["created", "started", "finished", "seen"]) {
    const tag = find(name)?.firstChild;
    if (tag) setText(tag, when(action[name]).textContent);
  }
}
function remaining(action) {
  const estimate = { rest: open.whole?.remaining, readAt: open.readAt };
  if (!estimate.rest || action.state !== "executing") return "";
  // The estimate has passed: ask for the next one, now and then.
  if (isOver(estimate) && isLive() && !isPaused && !document.hidden && !open.isReading) readDetail();
  return restWords(estimate, EXPECTED);
}
function stateLine(action) {
  const meter = make("progress", { class: "meter", max: 100, "aria-label": "Progress" });
  meter.value = action.progress;
  return make("div", {}, make("div", { class: "line" }, make("span", { class: "badge" }, stateWord(action)), meter,
    make("span", { class: "number" }, percent(action.progress))), make("p", { class: "quiet", "data-rest": true }));
}
function troubles(action) {
  const trouble = (title, state, ...texts) => make("div", { class: "trouble", "data-state": state }, make("b", { dir: "auto" }, title), ...texts);
  const error = action.error && trouble(action.error.code, action.state, isolated(action.error.message),
    action.error.detail ? make("pre", { class: "mono", dir: "auto" }, action.error.detail) : null);
  const warnings = (action.warnings ?? []).map(text => trouble("Warning", "lost", isolated(text)));
  return [error, ...warnings].filter(Boolean);
}
function facts(action, { related, cancel, evidence }) {
  const all = make("dl", { id: "facts" });
  const fact = (name, ...values) => {
    const given = values.filter(value => value !== undefined && value !== null && value !== "");
    if (given.length > 0) all.append(make("dt", {}, name), make("dd", {}, ...given.map(value => typeof value === "string" ? isolated(value) : value)));
  };
  const time = (name, key) => action[key] === null ? null : fact(name, make("span", { [`data-${key}`]: true }, when(action[key])));
  fact("Object", action.object && filterButton(action.object, { q: objectTerm(action.object) }));
  for (const one of related ?? []) fact(one.role, one.name ? `${marked(one.object)} (${marked(one.name)})` : one.object);
  fact("Tenant", action.tenant && filterButton(action.tenant, { tenant: action.tenant }));
  fact("Labels", ...Object.entries(action.labels).map(([key, value]) => filterButton(`${key}=${value}`, { q: labelTerm(key, value) }, "chip")));
  fact("Step", action.step);
  fact("Description", action.description);
  time("Created", "created");
  time("Started", "started");
  time("Ended", "finished");
  fact(action.state === "queued" ? "Waiting" : "Duration", make("span", { "data-took": true, class: "number" }, duration(action)));
  time("Last seen", "seen");
  fact("By", action.actor);
  if (cancel) fact("Cancel asked", [exact(cancel.at * 1000), cancel.by && `by ${marked(cancel.by)}`, cancel.reason && marked(cancel.reason)].filter(Boolean).join(", "));
  fact("Owner", action.owner && filterButton(action.owner, { owner: action.owner }));
  if (evidence) fact("Evidence", `owner ${marked(evidence.owner)} ${evidence.end}, last seen ${exact(evidence.last_seen_at * 1000)}, decided by ${marked(evidence.decided_by)}`);
  fact("Correlation", action.correlation);
  for (const [name, uid] of [["Part of", action.parent], ["Retry of", action.retry_of]]) if (uid) fact(name, actionButton(uid, actions.get(uid)));
  fact("Source", action.source);
  fact("Version", String(action.version));
  fact("Uid", make("span", { class: "mono" }, action.uid), copyButton(action.uid));
  return all;
}
function filterButton(text, changed, look = "linked") {
  const button = makeButton("", () => go({ ...changed, ...(narrow.matches ? { action: "" } : {}) }, true), { class: look, title: "List all with this" });
  button.append(isolated(text));
  return button;
}
function actionButton(uid, action) {
  const button = makeButton("", () => show(uid), { class: action ? "linked" : "linked mono" });
  button.append(isolated(action ? nameOf(action) : uid));
  return button;
}
function copyButton(text) {
  const button = makeButton("Copy", async () => {
    setText(button, await copy(text) ? "Copied" : "Not copied");
    await pause(1500);
    setText(button, "Copy");
  }, { class: "plain small", id: "copy", "aria-label": "Copy the uid", "aria-live": "polite" });
  return button;
}
/* Pages without TLS have no clipboard. There the selection is copied. */
async function copy(text) {
  try {
    if (navigator.clipboard) { await navigator.clipboard.writeText(text); return true; }
  } catch { /* Not allowed: the selection may be. */ }
  const field = make("textarea", { class: "unseen", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  $("copy")?.focus();
  return isCopied;
}
function json(title, value) {
  if (value === undefined) return null;
  const text = JSON.stringify(value, null, 2);
  const shown = text.length > MOST_JSON ? `${text.slice(0, MOST_JSON)}\n\u2026 ${(text.length - MOST_JSON).toLocaleString()} characters more` : text;
  return make("div", { class: "json" }, make("h3", {}, title), make("pre", { class: "mono", dir: "auto", tabindex: "0", role: "group", "aria-label": title }, shown));
}

/* ---- parts and history ---- */

function drawParts() {
  const all = open.whole.parts;
  if (all.total.number === 0) { $("parts").replaceChildren(); return; }
  const words = STATES.filter(state => all[state].number > 0).map(state => `${countText(all[state])} ${state}`).join(", ");
  const entries = open.parts.map(part => make("li", { "data-state": part.state }, make("span", { class: "badge" }, stateWord(part)),
    actionButton(part.uid, part), make("span", { class: "number quiet" }, isUnfinished(part) ? percent(part.progress) : duration(part))));
  const { uid } = open;
  $("parts").replaceChildren(make("h3", {}, "Parts"), make("p", { class: "quiet" }, words), make("ol", {}, ...entries),
    makeButton("List all parts", () => go({ ...VIEW, span: view.span, parent: uid, action: narrow.matches ? "" : uid }, true), { class: "plain" }));
}
const KINDS = { "cancel-requested": "cancel asked for", "late-report": "late report, which changed nothing" };
function drawHistory() {
  const begun = open.entries[0]?.at;
  $("history").replaceChildren(...open.entries.map(entry => historyEntry(entry, begun)));
  $("later").hidden = !open.next;
}
function historyEntry(entry, begun) {
  const kind = entry.kind === "finished" ? entry.outcome ?? entry.kind : KINDS[entry.kind] ?? entry.kind;
  const at = timeTag(entry.at * 1000, entry.at === begun ? local(entry.at * 1000) : `+${length((entry.at - begun) * 1000, false)}`);
  at.classList.add("quiet");
  const progress = entry.kind === "step" || entry.kind === "noted" ? percent(entry.progress) : null;
  const about = [progress, entry.by && `by ${marked(entry.by)}`, entry.owner && `owner ${marked(entry.owner)}`].filter(Boolean).join(", ");
  return make("li", { "data-state": entry.status ? stateOf(entry.status, entry.outcome) : "queued" },
    make("div", { class: "top" }, make("b", {}, isolated(entry.kind === "step" && entry.step ? entry.step : kind)), at),
    entry.note && make("div", { class: "note", dir: "auto" }, entry.note), about && make("div", { class: "quiet" }, about));
}

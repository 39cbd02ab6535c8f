/* ---- the view: search, filters, order, range and the open action, as the address says ---- */

const VIEW = { q: "", state: "", created: "", finished: "", tenant: "", owner: "", parent: "", order: "", span: "1h", action: "" };
const RANGES = { "15m": [15 * MINUTE, "15 minutes ago"], "1h": [HOUR, "1 hour ago"], "6h": [6 * HOUR, "6 hours ago"],
  "24h": [DAY, "24 hours ago"], "7d": [7 * DAY, "7 days ago"] };
const UID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

let view = { ...VIEW };
let terms = termsOf("");
let states = new Set();     // the chosen states; empty for all

/* Reads the address. An unknown value counts as not given. */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  view = Object.fromEntries(Object.keys(VIEW).map(name => [name, given.get(name) ?? VIEW[name]]));
  if (!["", "newest", "oldest", "finished"].includes(view.order)) view.order = "";
  if (!SPANS[view.span]) view.span = VIEW.span;
  if (!UID.test(view.action)) view.action = "";
  for (const by of ["created", "finished"]) if (!rangeOf(view[by])) view[by] = "";
  if (view.finished) view.created = "";
  terms = termsOf(view.q);
  states = new Set(ofOneKind(view.state.split(",").filter(state => STATES.includes(state))));
}
function address(changed) {
  const next = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...view, ...changed })) if (value && value !== VIEW[name]) next.set(name, value);
  // Readable in the address: these need no escape in a fragment.
  return `#${String(next).replace(/%3A/gi, ":").replace(/%2C/gi, ",").replace(/%2F/gi, "/")}`;
}
/* Changes the view. Opening an action can be undone with the browser's Back; typing cannot. */
function go(changed, replaces = !("action" in changed)) {
  if (typing !== null) readForm();
  const next = address(changed);
  if (next === (location.hash || "#")) return;
  history[replaces ? "replaceState" : "pushState"](null, "", next);
  viewChanged();
}

/* Reads a search: each word is a uid, an object, a label or the beginning of a name. A quoted text is a name.
   A part of a word may be quoted, so that it may have spaces; in it, "" stands for a quotation mark. */
function termsOf(text) {
  const found = { uid: "", name: "", object: "", labels: [] };
  for (const [token] of text.matchAll(/(?:"(?:[^"]|"")*(?:"|$)|[^\s"])+/g)) {
    const word = token.replace(/"((?:[^"]|"")*)(?:"|$)/g, (_, quoted) => quoted.replaceAll('""', '"'));
    if (token.startsWith('"')) found.name = word;
    else if (UID.test(word)) found.uid = hyphenated(word);
    else if (/^object:(?:cluster$|[^:]+:.)/.test(word)) found.object = word.slice(7);
    else if (/^label:./.test(word)) found.labels.push(word.slice(6));
    else if (/^[^=:]+=/.test(word)) found.labels.push(word.endsWith("=") ? word.slice(0, -1) : word);
    else if (word === "cluster" || /^[^:]+:./.test(word)) found.object = word;
    else found.name = [found.name.replace(/\*$/, ""), word.replace(/\*?$/, "*")].filter(Boolean).join(" ");
  }
  return found;
}
/* The shortest search for an object or a label that is understood as such. */
const quoted = text => `"${text.replaceAll('"', '""')}"`;
function objectTerm(object) {
  return [object, `object:${object}`].find(term => termsOf(term).object === object && !/[\s"]/.test(term)) ?? `object:${quoted(object)}`;
}
function labelTerm(key, value) {
  const label = `${key}=${value}`;
  return [label, `label:${label}`].find(term => termsOf(term).labels[0] === label && !/[\s"]/.test(term)) ?? `label:${quoted(label)}`;
}
function hyphenated(word) {
  const hex = word.replaceAll("-", "").toLowerCase();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
/* Says how a search is understood. */
function understood() {
  if (terms.uid) return [`The action ${terms.uid}`];
  const prefix = terms.name.endsWith("*") && terms.name.slice(0, -1);
  return [
    prefix && `Name begins with ${marked(prefix)}`,
    !prefix && terms.name && `Name is ${marked(terms.name)}`,
    terms.object && `Object is ${marked(terms.object)}`,
    ...terms.labels.map(label => label.includes("=") ? `Label ${marked(label)}` : `Has a label ${marked(label)}`),
  ].filter(Boolean);
}

/* Returns the beginning and the end of a range in ms; either may be missing. Null for no range. */
function rangeOf(text) {
  if (RANGES[text]) return { since: now() - RANGES[text][0], until: Infinity };
  const [since, until] = text.split("..");
  if (until === undefined) return null;
  const [from, to] = [since ? Date.parse(since) : -Infinity, until ? Date.parse(until) : Infinity];
  return Number.isNaN(from) || Number.isNaN(to) ? null : { since: from, until: to };
}
const moment = at => new Date(Math.floor(at / 1000) * 1000).toISOString().replace(".000Z", "Z");

/* The filters as parameters, without the states. */
function filterQuery() {
  const query = new URLSearchParams();
  if (terms.name) query.set("name", terms.name);
  if (terms.object) query.set("object", terms.object);
  for (const label of terms.labels) query.append("label", label);
  for (const name of ["tenant", "owner", "parent"]) if (view[name]) query.set(name, view[name]);
  const created = rangeOf(view.created);
  if (created) setRange(query, "", created);
  return query;
}
function setRange(query, prefix, { since, until }) {
  if (since !== -Infinity) query.set(`${prefix}since`, (since / 1000).toFixed(3));
  if (until !== Infinity) query.set(`${prefix}until`, (until / 1000).toFixed(3));
}
/* Adds a range of the end, cut to the one that is chosen. Returns false if nothing is in both. */
function setEnds(query, since = -Infinity, until = Infinity) {
  const chosen = rangeOf(view.finished);
  const both = { since: Math.max(since, chosen?.since ?? -Infinity), until: Math.min(until, chosen?.until ?? Infinity) };
  setRange(query, "finished_", both);
  return both.since < both.until;
}
/* Adds states that are all unfinished or all ended. */
function setStates(query, wanted) {
  if (wanted.length > 0) query.set(isOpen(wanted[0]) ? "status" : "outcome", wanted.join(","));
}

const isWithin = (at, range) => at !== null && at >= range.since && at < range.until;
function isNamed(name) {
  if (!terms.name) return true;
  return terms.name.endsWith("*") ? name.startsWith(terms.name.slice(0, -1)) : name === terms.name;
}
function hasLabel(labels, text) {
  const at = text.indexOf("=");
  return at < 0 ? text in labels : labels[text.slice(0, at)] === text.slice(at + 1);
}
/* Returns true if the filters let an action through: the same answer as the store's. */
function matches(action) {
  if (terms.uid) return action.uid === terms.uid;
  const [created, finished] = [rangeOf(view.created), rangeOf(view.finished)];
  return (states.size === 0 || states.has(action.state)) && isNamed(action.name)
    && (!terms.object || action.object === terms.object)
    && terms.labels.every(label => hasLabel(action.labels, label))
    && ["tenant", "owner", "parent"].every(name => !view[name] || action[name] === view[name])
    && (!created || isWithin(action.created, created)) && (!finished || isWithin(action.finished, finished));
}
const isFiltered = () => Boolean(view.q.trim() || states.size || view.created || view.finished || view.tenant || view.owner || view.parent);

/* ---- the form ---- */

function fillForm() {
  for (const id of ["q", "tenant", "owner"]) if (document.activeElement !== $(id)) $(id).value = view[id];
  $("order").value = view.order;
  $("span").value = view.span;
  const by = view.finished ? "finished" : view.created ? "created" : $("by").value;
  const text = view[by];
  $("by").value = by;
  $("range").value = RANGES[text] ? text : text ? "own" : $("range").value === "own" ? "own" : "";
  $("own").hidden = $("range").value !== "own";
  if (text && !RANGES[text]) fillOwn(rangeOf(text));
  setText($("understood"), understood().join(" \u00b7 "));
  drawChips();
}
const inLocal = at => Number.isFinite(at) ? new Date(at - new Date(at).getTimezoneOffset() * MINUTE).toISOString().slice(0, 19) : "";
function fillOwn({ since, until }) {
  for (const [id, at] of [["since", since], ["until", until]]) if (document.activeElement !== $(id)) $(id).value = inLocal(at);
}
function ownRange() {
  const [since, until] = ["since", "until"].map(id => $(id).value ? moment(new Date($(id).value)) : "");
  return since || until ? `${since}..${until}` : "";
}
let typing = null;
function typed() {
  clearTimeout(typing);
  typing = setTimeout(readForm, 250);
}
function readForm() {
  clearTimeout(typing);
  typing = null;
  const range = $("range").value === "own" ? ownRange() : $("range").value;
  const by = $("by").value, other = by === "created" ? "finished" : "created";
  go({ q: $("q").value.trim(), tenant: $("tenant").value.trim(), owner: $("owner").value.trim(), order: $("order").value, [by]: range, [other]: "" });
  $("own").hidden = $("range").value !== "own";
}
function clearFilters() {
  clearTimeout(typing);
  typing = null;
  document.activeElement?.blur?.();
  $("filters").reset();
  go({ q: "", state: "", created: "", finished: "", tenant: "", owner: "", parent: "", order: "" });
  fillForm();
}
/* Filters that have no field: each can be removed. */
function drawChips() {
  const chips = [];
  const add = (text, without) => chips.push(makeButton("", () => go(without), { class: "chip", "aria-label": `Remove the filter: ${text}` }));
  if (view.parent) {
    const parent = actions.get(view.parent);
    add(`Parts of ${parent ? nameOf(parent) : view.parent}`, { parent: "" });
  }
  for (const state of states) add(`Only ${state}`, { state: [...states].filter(one => one !== state).join(",") });
  chips.forEach(chip => chip.append(make("span", {}, chip.getAttribute("aria-label").replace("Remove the filter: ", "")), make("span", { "aria-hidden": "true" }, "\u00d7")));
  $("chips").replaceChildren(...chips);
}
/* The store combines statuses or outcomes, but not both: keeps the states that are like the first. */
const ofOneKind = wanted => wanted.filter(state => isOpen(state) === isOpen(wanted[0]));
/* States of one kind are combined; a state of the other kind takes their place. */
function pressState(state) {
  const next = new Set([...states].filter(one => isOpen(one) === isOpen(state)));
  if (states.has(state)) next.delete(state); else next.add(state);
  go({ state: [...next].join(",") });
}

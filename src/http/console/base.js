/* ---- elements, times and texts ---- */

const STATES = ["executing", "queued", "failed", "lost", "interrupted", "cancelled", "succeeded"];
const ALARMS = new Set(["failed", "lost", "interrupted"]);
const [MINUTE, HOUR, DAY] = [60000, 3600000, 86400000];

const $ = id => document.getElementById(id);
const narrow = matchMedia("(max-width: 720px)");

/* Makes an element. Text is never parsed as markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value ?? null);
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return element;
}
function makeSvg(tag, attributes = {}, text = null) {
  const element = document.createElementNS($("timeline").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  if (text !== null) element.textContent = text;
  return element;
}
function makeButton(text, press, attributes = {}) {
  const button = make("button", { type: "button", ...attributes }, text || null);
  button.onclick = press;
  return button;
}
function setText(element, text) { if (element.textContent !== text) element.textContent = text; }
/* Sets or removes an attribute. A truth value of ARIA is a word, any other is there or not. */
function setAttribute(element, name, value) {
  const text = value === true && !name.startsWith("aria-") ? "" : String(value);
  if (value === null || (value === false && !name.startsWith("aria-"))) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/* A recorded text may be written from right to left. These keep it apart from the text around it. */
const isolated = text => make("bdi", {}, text);
const marked = text => `\u2068${text}\u2069`;

const pause = (time, signal) => new Promise(resolve => {
  const timer = setTimeout(resolve, time);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});
const isAborted = fault => fault.name === "AbortError";

/* ---- time ---- */

let skew = 0;               // server clock minus local clock, in ms
let stoppedAt = null;       // the time that is shown while paused or without a connection
const serverTime = () => Date.now() + skew;
const now = () => stoppedAt ?? serverTime();

const millis = seconds => seconds === undefined ? null : seconds * 1000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayClock = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const isToday = at => new Date(at).toDateString() === new Date(now()).toDateString();
const local = at => (isToday(at) ? clock : dayClock).format(at);

function offsetOf(at) {
  const minutes = -new Date(at).getTimezoneOffset(), whole = Math.abs(minutes);
  const two = number => String(number).padStart(2, "0");
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "\u2212" : "+"}${two(Math.floor(whole / 60))}:${two(whole % 60)}`;
}
function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone, offset = offsetOf(now());
  return !name || name === offset ? offset : `${name} (${offset})`;
}
/* The exact time, for tooltips. */
function exact(at) {
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * MINUTE);
  return `${shifted.toISOString().slice(0, 23).replace("T", " ")} ${offsetOf(at)}`;
}
function ago(at) {
  const seconds = Math.floor((now() - at) / 1000);
  if (seconds < 1) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : dayClock.format(at);
}
const timeTag = (at, text) => make("time", { datetime: new Date(at).toISOString(), title: exact(at), class: "number" }, text);
/* A time with how long ago it was. */
function when(at) {
  if (at === null) return "";
  const seen = now() - at < DAY ? `${local(at)}, ${ago(at)}` : local(at);
  return timeTag(at, seen);
}

/* A length of time; with `coarse`, without the smaller unit where it says little. */
function length(time, coarse) {
  const seconds = Math.floor(Math.max(0, time) / 1000);
  const two = number => String(number).padStart(2, "0");
  if (!coarse && time < 1000) return `${Math.round(Math.max(0, time))} ms`;
  if (seconds < 60) return coarse ? `${seconds} s` : `${(time / 1000).toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

/* ---- texts of an action ---- */

const isOpen = state => state === "queued" || state === "executing";
const isUnfinished = action => isOpen(action.state);
const endOf = action => action.finished ?? action.seen ?? action.created ?? 0;

/* Running time; for a queued action, its waiting time. */
function duration(action) {
  if (action.state === "queued") return `waits ${length(now() - action.created, true)}`;
  const from = action.started ?? action.created;
  if (action.state === "executing") return length(now() - from, true);
  return action.finished === null ? "" : length(action.finished - from, false);
}
/* Rounded down: 99.96 % is not 100 %. */
const percent = progress => `${Math.floor(progress * 10 + 1e-6) / 10} %`;
const stateWord = action => action.cancel_requested_at && action.state === "executing" ? "cancelling" : action.state;
const nameOf = action => action.object ? `${marked(action.name)} ${marked(action.object)}` : marked(action.name);
const note = action => action.error ? action.error.message || action.error.code : (isUnfinished(action) && action.step) || action.description || "";

/* A count of the server, which may be a lower bound. */
const countText = count => `${count.number.toLocaleString()}${count.exact ? "" : "+"}`;
function sum(counts) {
  return { number: counts.reduce((all, one) => all + one.number, 0), exact: counts.every(one => one.exact) };
}

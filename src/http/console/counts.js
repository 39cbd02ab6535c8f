/* ---- counts: the tiles, and the ends of each time slot ---- */

const BOUND = 10000;        // up to which the server counts
const AT_ONCE = 3;          // requests for slots
const SOONEST = 2000;       // ms between two refreshes
/* The spans of the timeline: words, length, and length of a slot. */
const SPANS = { "5m": ["5 minutes", 5 * MINUTE, 10000, "10 s"], "15m": ["15 minutes", 15 * MINUTE, 30000, "30 s"],
  "1h": ["hour", HOUR, 2 * MINUTE, "2 min"], "6h": ["6 hours", 6 * HOUR, 15 * MINUTE, "15 min"],
  "24h": ["24 hours", DAY, HOUR, "1 h"], "7d": ["7 days", 7 * DAY, 6 * HOUR, "6 h"] };
const NONE = { number: 0, exact: true };

const tiles = new Map();    // elements, by state
const slots = new Map();    // counts of ends by beginning of the slot: { counts, readAt }
const counts = { all: null, fault: "", generation: 0, stop: new AbortController() };

function forgetCounts() {
  counts.stop.abort();
  counts.stop = new AbortController();
  counts.generation++;
  slots.clear();
  Object.assign(counts, { all: null, fault: "" });
}
function countsAt(query) {
  query.set("bound", BOUND);
  return `${base}/counts?${query}`;
}
async function readTiles() {
  const query = filterQuery();
  setEnds(query);
  const { body } = await read(countsAt(query), { signal: counts.stop.signal });
  counts.all = body;
}

/* The slots of the timeline. They begin at full multiples of their length, in local time. */
function slotsOf(span) {
  const [, time, step] = SPANS[span];
  const zoneTime = new Date(now()).getTimezoneOffset() * MINUTE;
  const from = Math.floor((now() - time - zoneTime) / step) * step + zoneTime;
  const begins = [];
  for (let begin = from; begin <= now(); begin += step) begins.push(begin);
  return { from, step, begins };
}
/* A slot that is over is counted once. */
function isCounted(begin, step) {
  const slot = slots.get(begin);
  return slot !== undefined && slot.readAt > begin + step + 3000;
}
/* An action ended at this time: its slot is counted again. */
function recountAt(at) {
  const { step } = slotsOf(view.span);
  for (const [begin, slot] of slots) if (at >= begin && at < begin + step) slot.readAt = 0;
}
async function readSlot(begin, step) {
  const query = filterQuery(), readAt = serverTime();
  const { body } = setEnds(query, begin, begin + step) ? await read(countsAt(query), { signal: counts.stop.signal }) : { body: {} };
  slots.set(begin, { counts: body, readAt });
}
async function readSlots() {
  if (!$("times").open) return;
  const { begins, step } = slotsOf(view.span);
  for (const begin of slots.keys()) if (begin < begins[0]) slots.delete(begin);
  const wanted = begins.filter(begin => !isCounted(begin, step)).reverse();
  const work = async () => { for (let begin; (begin = wanted.shift()) !== undefined;) await readSlot(begin, step); };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
const endsIn = (begin, state) => slots.get(begin)?.counts[state] ?? NONE;

/* ---- refreshing ---- */

const RETRY = 10000;        // ms after a failure
const refresh = { timer: null, isBusy: false, isDue: false, notBefore: 0 };

/* Counts anew after a change, at most every other second, and less often if the server takes long. */
function refreshSoon() {
  refresh.isDue = true;
  if (refresh.isBusy || refresh.timer !== null || isPaused || document.hidden || !isLive()) return;
  refresh.timer = setTimeout(refreshNow, Math.max(0, refresh.notBefore - performance.now()));
}
async function refreshNow() {
  refresh.timer = null;
  if (isPaused || document.hidden || !isLive()) return;
  Object.assign(refresh, { isBusy: true, isDue: false });
  const begun = performance.now(), { generation } = counts;
  let wait = SOONEST;
  try {
    await Promise.all([readTiles(), readSlots()]);
    counts.fault = "";
    wait = Math.max(SOONEST, 10 * (performance.now() - begun));
  } catch (fault) {
    if (generation === counts.generation) counts.fault = wordsOf(fault);
    // The same request would be refused again, but a server that is overloaded recovers.
    if (!(fault.status < 500)) Object.assign(refresh, { isDue: true });
    wait = RETRY;
  }
  const isCurrent = generation === counts.generation;
  Object.assign(refresh, { isBusy: false, notBefore: isCurrent ? performance.now() + wait : 0 });
  dirty();
  if (refresh.isDue || !isCurrent) refreshSoon();
}
/* Counts at once: the filters have changed. */
function refreshCounts() {
  clearTimeout(refresh.timer);
  Object.assign(refresh, { timer: null, notBefore: 0 });
  refreshSoon();
}

/* ---- the tiles ---- */

function makeTiles() {
  for (const state of STATES) {
    const tile = makeButton("", () => pressState(state), { class: "tile", "data-state": state, "aria-pressed": "false" });
    tile.append(make("b", { class: "number" }, "\u2013"), make("span", {}, state));
    tiles.set(state, tile);
    $("summary").append(tile);
  }
}
function drawTiles() {
  for (const [state, tile] of tiles) {
    const count = counts.all?.[state];
    setText(tile.firstChild, count ? countText(count) : "\u2013");
    tile.title = count && !count.exact ? `At least ${count.number.toLocaleString()}` : "";
    setAttribute(tile, "data-none", !count || count.number === 0);
    setAttribute(tile, "data-alarm", ALARMS.has(state) && count?.number > 0);
    setAttribute(tile, "aria-pressed", states.has(state));
  }
}

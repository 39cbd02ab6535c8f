/* ---- the timeline: what ran when, what matters first, and the ends by outcome above it ---- */

const BARS = 400;           // bars that are drawn at most
const LANE = 22;            // height of a lane
const CHART = 52;           // height of the chart of ends
const LABEL = 22;           // height of the axis
const LETTER = 6.8;         // width of a letter
const PIECES = 8;           // pieces of the span that are read one by one
const READ = 480;           // actions that are read of each kind
const RANK = { executing: 0, failed: 1, lost: 1, queued: 2, interrupted: 3, cancelled: 4, succeeded: 5 };
const STACK = ["failed", "lost", "interrupted", "cancelled", "succeeded"];

const bars = new Map();     // elements, by uid
const drawnParts = { axis: null, chart: null, key: "" };

/* Reads what the timeline shows first. The feed keeps it current. */
async function readTimeline() {
  if (!$("times").open || terms.uid) return;
  const { begins, step } = slotsOf(view.span), { signal } = counts.stop;
  const chosen = kinds => kinds.filter(state => states.size === 0 || states.has(state));
  const ask = async (only, order, range) => {
    const query = filterQuery();
    if (only.length === 0 || (range ? !setEnds(query, ...range) : view.finished)) return;
    setStates(query, only);
    query.set("order", order);
    query.set("limit", range ? READ / PIECES : READ);
    (await readRecords(listAt(query), { signal })).records.forEach(put);
  };
  for (const state of ["executing", "queued"]) await ask(chosen([state]), "newest", null);
  // In pieces: otherwise the ends of a busy minute would take the places of all others.
  const size = Math.ceil(begins.length / PIECES) * step, until = begins.at(-1) + step;
  for (const kinds of [["failed", "lost"], STACK.slice(2)]) {
    for (let end = until; end > begins[0]; end -= size) await ask(chosen(kinds), "finished", [Math.max(end - size, begins[0]), end]);
  }
}

function drawTimeline() {
  if (!$("times").open) return;
  const svg = $("timeline"), width = svg.clientWidth;
  if (!width) return;
  const { from, begins, step } = slotsOf(view.span), at = now();
  const until = Math.max(begins.at(-1) + step, at + (at - from) * .02);
  const scale = { from, until, width, begins, step, x: time => (time - from) / (until - from) * width };
  const { placed, lanes } = place(inSpan(from), scale);
  const height = CHART + 8 + Math.max(lanes, 1) * LANE + LABEL;
  setAttribute(svg, "height", height);
  drawAxis(svg, scale, height);
  drawChart(svg, scale);
  const uids = new Set(placed.map(({ action }) => action.uid));
  for (const [uid, bar] of bars) if (!uids.has(uid)) { bar.remove(); bars.delete(uid); }
  for (const one of placed) drawBar(svg, one, scale);
  sayDrawn(placed, scale);
}
/* Executing actions, then the failed and lost ones, each newest first. */
function inSpan(from) {
  const at = action => isUnfinished(action) ? action.created : action.finished;
  const found = [...actions.values()].filter(action => matches(action) && action.created !== null && (isUnfinished(action) || action.finished >= from));
  return found.sort((a, b) => RANK[a.state] - RANK[b.state] || at(b) - at(a));
}
/* Gives each action the first lane with room for it, and for its name before it if there is. */
function place(found, { x }) {
  const lanes = [], placed = [], most = narrow.matches ? 6 : 9;
  for (const action of found) {
    if (placed.length === BARS) break;
    const begin = Math.max(x(action.created), -4), end = Math.max(x(action.finished ?? now()), begin + 5);
    const words = wordsBefore(action, begin, end), left = begin - words.length * LETTER - (words ? 8 : 0);
    const lane = laneFor(lanes, left, end, most);
    if (lane >= 0) placed.push({ action, lane, begin, end, words });
    else if (words) placed.push({ action, lane: laneFor(lanes, begin, end, most), begin, end, words: "" });
  }
  return { placed: placed.filter(({ lane }) => lane >= 0), lanes: lanes.length };
}
/* Takes a place in a lane, or returns -1 if no lane has room. */
function laneFor(lanes, begin, end, most) {
  let lane = lanes.findIndex(taken => taken.every(([from, to]) => end + 3 <= from || begin >= to + 3));
  if (lane < 0 && lanes.length === most) return -1;
  if (lane < 0) lane = lanes.push([]) - 1;
  lanes[lane].push([begin, end]);
  return lane;
}
const wordsOn = action => [action.name, action.object].filter(Boolean).join(" ");
/* What matters has its name before the bar if there is no room on it. */
function wordsBefore(action, begin, end) {
  if (RANK[action.state] > RANK.queued || action.state === "queued") return "";
  const words = wordsOn(action).slice(0, 28), width = words.length * LETTER;
  return end - begin < width + 14 && begin > width + 12 ? words : "";
}

/* ---- the words below and above ---- */

/* Counts what ended in the span, and what is unfinished now. */
function totals({ begins }) {
  const all = Object.fromEntries(STACK.map(state => [state, sum(begins.map(begin => endsIn(begin, state)))]));
  for (const state of ["executing", "queued"]) all[state] = counts.all?.[state] ?? NONE;
  return all;
}
function sayDrawn(placed, scale) {
  const isRead = counts.all !== null && scale.begins.every(begin => slots.has(begin));
  const span = `the last ${SPANS[view.span][0]}`;
  if (counts.fault) return sayTimeline(`Not counted: ${counts.fault}`, []);
  if (!isRead) return sayTimeline(`Reading ${span}`, []);
  const drawn = state => placed.filter(({ action }) => action.state === state).length;
  const all = totals(scale);
  const chosen = STATES.filter(state => states.size === 0 || states.has(state));
  const left = chosen.map(state => ({ state, number: all[state].number - drawn(state), exact: all[state].exact })).filter(({ number, exact }) => number > 0 || !exact);
  const numbers = STACK.filter(state => chosen.includes(state) && all[state].number > 0).map(state => `${countText(all[state])} ${state}`);
  const words = numbers.length > 0 ? `Ended in ${span}: ${numbers.join(", ")}` : `Nothing ended in ${span}`;
  sayTimeline(chosen.every(isOpen) ? "Only unfinished actions are chosen" : words, terms.uid ? [] : left, scale);
}
function sayTimeline(words, left, scale) {
  setText($("drawn"), words);
  $("undrawn").hidden = left.length === 0;
  const key = JSON.stringify([left, scale?.from]);
  if ($("undrawn").dataset.key === key) return;
  $("undrawn").dataset.key = key;
  $("undrawn").replaceChildren(make("span", {}, "Without a bar:"), ...left.map(one => reachButton(one, scale)));
}
/* Lists the actions of a state that have no bar. */
function reachButton({ state, number, exact }, { from }) {
  const text = `${countText({ number, exact })} ${state}`;
  return makeButton(text, () => {
    go(isOpen(state) ? { state } : { state, finished: `${moment(from)}..`, created: "" });
    $("list").scrollIntoView();
  }, { class: "reach", "data-state": state, "aria-label": `List what has no bar: ${text}` });
}

/* ---- drawing ---- */

function set(element, values) {
  for (const [name, value] of Object.entries(values)) setAttribute(element, name, typeof value === "number" ? value.toFixed(1) : value);
}
function newBar(svg, uid) {
  const bar = makeSvg("g", { "data-uid": uid });
  for (const [tag, name] of [["line", "wait"], ["rect", "body"], ["rect", "edge"], ["text", "words"], ["title", null]]) bar.append(makeSvg(tag, { class: name }));
  bars.set(uid, bar);
  svg.append(bar);
  return bar;
}
function drawBar(svg, { action, lane, begin, end, words }, { x, width }) {
  const bar = bars.get(action.uid) ?? newBar(svg, action.uid);
  const [wait, body, edge, text, title] = bar.children;
  const y = CHART + 10 + lane * LANE, isQueued = action.state === "queued";
  const start = isQueued ? begin : Math.max(action.started ? x(action.started) : begin, -4), size = Math.max(end - start, 3);
  bar.dataset.state = action.state;
  setAttribute(bar, "data-open", action.uid === view.action);
  set(wait, { x1: begin, x2: start, y1: y + 9, y2: y + 9 });
  set(body, { x: start, y, width: size, height: 18, rx: 3 });
  set(edge, { x: start, y, width: 3, height: 18, rx: 1.5 });
  set(text, { x: words ? begin - 6 : Math.max(start, 0) + 8, y: y + 13, "text-anchor": words ? "end" : "start" });
  const room = Math.floor((Math.min(end, width) - Math.max(start, 0) - 12) / LETTER);
  setText(text, words ? marked(words) : fitting(isQueued ? `${action.name} ${duration(action)}` : wordsOn(action), room));
  setText(title, `${nameOf(action)}\n${stateWord(action)}, ${duration(action)}\n${exact(action.created)}`);
}
function fitting(text, room) {
  if (room < 4) return "";
  return marked(text.length > room ? `${text.slice(0, room - 1)}\u2026` : text);
}

const STEPS = [30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800].map(seconds => seconds * 1000);
function drawAxis(svg, { x, from, until, begins, step }, height) {
  const marks = STEPS.find(size => x(from + size) >= 88) ?? 2 * DAY, bottom = height - LABEL;
  const first = Math.ceil((from - zoneOf(from)) / marks) * marks + zoneOf(from);
  const words = marks < MINUTE ? clock : marks >= DAY / 2 ? dayClock : shortClock;
  const parts = [];
  const line = (at, name) => parts.push(makeSvg("line", { class: name, x1: x(at).toFixed(1), x2: x(at).toFixed(1), y1: 0, y2: bottom }));
  const label = (at, text) => parts.push(makeSvg("text", { x: x(at).toFixed(1), y: height - 8, "text-anchor": "middle" }, text));
  for (let at = first; at < until; at += marks) {
    line(at, null);
    if (x(at) > 32 && Math.abs(x(at) - x(now())) > 48) label(at, words.format(at));
  }
  line(now(), "now");
  label(Math.min(now(), until - (until - from) / x(until) * 16), "now");
  drawnParts.axis?.remove();
  drawnParts.axis = makeSvg("g", { class: "axis" });
  drawnParts.axis.append(...parts);
  svg.prepend(drawnParts.axis);
}
const zoneOf = at => new Date(at).getTimezoneOffset() * MINUTE;

/* The ends in each slot, stacked by outcome with the failed ones at the bottom. */
function drawChart(svg, scale) {
  const { begins, step, x } = scale;
  const ends = begins.map(begin => STACK.map(state => states.size === 0 || states.has(state) ? endsIn(begin, state) : NONE));
  const key = JSON.stringify([begins[0], step, scale.width, scale.until, ends]);
  if (drawnParts.key === key) return;
  drawnParts.key = key;
  const most = Math.max(1, ...ends.map(slot => sum(slot).number));
  const chart = makeSvg("g", { class: "chart" });
  begins.forEach((begin, at) => chart.append(column(begin, step, ends[at], most, x)));
  chart.append(makeSvg("line", { class: "ground", x1: 0, x2: scale.width, y1: CHART + .5, y2: CHART + .5 }));
  chart.append(makeSvg("text", { x: 6, y: 12 }, most > 1 ? `ends, up to ${most.toLocaleString()} in ${SPANS[view.span][3]}` : ""));
  drawnParts.chart?.remove();
  drawnParts.chart = chart;
  drawnParts.axis.after(chart);
}
function column(begin, step, ends, most, x) {
  const group = makeSvg("g"), width = Math.max(x(begin + step) - x(begin) - 1.5, 1);
  let y = CHART;
  STACK.forEach((state, at) => {
    if (ends[at].number === 0) return;
    const height = Math.max(2, ends[at].number / most * (CHART - 18));
    y -= height;
    group.append(makeSvg("rect", { "data-state": state, x: x(begin).toFixed(1), y: y.toFixed(1), width: width.toFixed(1), height: height.toFixed(1) }));
  });
  const words = STACK.filter((state, at) => ends[at].number > 0).map(state => `${countText(ends[STACK.indexOf(state)])} ${state}`);
  group.append(makeSvg("title", {}, `${shortClock.format(begin)}\u2013${shortClock.format(begin + step)}: ${words.join(", ") || "nothing ended"}`));
  return group;
}

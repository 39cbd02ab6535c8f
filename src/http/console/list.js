/* ---- the list: pages of the store, in its order, and only the rows in the window ---- */

const FIRST = 100;          // rows that are read at once, to show something soon
const MORE = 500;           // rows that scrolling adds
const MOST_ROWS = 10000;
const OVERSCAN = 8;         // rows beyond each end of the window

/* `order` is what is shown: the actions in order, and `index` their places by uid. */
const list = { generation: 0, stop: new AbortController(), order: [], index: new Map() };
resetList();

function resetList() {
  list.stop.abort();
  Object.assign(list, { phases: [], phase: 0, next: null, last: null, over: true, full: false, busy: false, isNew: false, fault: "" });
}
function forgetList() {
  resetList();
  list.generation++;
  Object.assign(list, { order: [], index: new Map() });
}
/* The queries that make the list, one after the other. */
function phasesOf() {
  const query = (order, only) => {
    const asked = filterQuery();
    setEnds(asked);
    setStates(asked, only);
    asked.set("order", order);
    return { asked, states: only };
  };
  const chosen = [...states], ends = STATES.slice(2);
  const wanted = only => chosen.length === 0 || only.some(state => states.has(state));
  if (view.order === "newest" || view.order === "oldest") return [query(view.order, chosen)];
  const ended = query("finished", chosen.filter(state => ends.includes(state)));
  if (chosen.length === 0) ended.asked.set("status", "completed");
  const phases = view.order === "finished" || view.finished ? [] : ["executing", "queued"].filter(state => wanted([state])).map(state => query("newest", [state]));
  return wanted(ends) ? [...phases, ended] : phases;
}
function startList() {
  resetList();
  const generation = ++list.generation;
  list.stop = new AbortController();
  // The old rows are shown until the first new ones arrive.
  Object.assign(list, { phases: phasesOf(), over: false, isNew: true });
  scrollToList();
  return terms.uid ? readOne(generation) : readRows(FIRST, performance.now());
}
async function readOne(generation) {
  list.busy = true;
  try {
    const { body } = await read(`${base}/${terms.uid}?view=full`, { signal: list.stop.signal });
    put(ofRecord(body.action));
  } catch (fault) {
    if (generation === list.generation) list.fault = isGone(fault) ? "There is no such action, or no longer." : wordsOf(fault);
  }
  if (generation === list.generation) Object.assign(list, { busy: false, isNew: false, over: true });
  dirty(true);
}
const isGone = fault => fault.status === 404 || fault.status === 410;

/* Reads at least so many rows more. With `since`, drops what was known before that time. */
async function readRows(count, since = null) {
  if (list.busy || list.over || list.full) return;
  const { generation, stop } = list;
  Object.assign(list, { busy: true, fault: "" });
  try {
    for (let rows = 0; rows < count && !list.over && generation === list.generation;) {
      const { records, next } = await readRecords(nextPage(count), { signal: stop.signal });
      if (generation !== list.generation) return;
      if (since !== null) forgetBefore(since);
      since = null;
      takePage(records, next);
      rows += records.length;
    }
  } catch (fault) {
    if (generation === list.generation) list.fault = fault.status === 403 && view.owner ? "You may not filter by owner." : wordsOf(fault);
  }
  if (generation === list.generation) Object.assign(list, { busy: false, isNew: false });
  dirty(true);
}
function nextPage(count) {
  if (list.next) return list.next;
  const { asked } = list.phases[list.phase];
  asked.set("limit", Math.min(count, MORE));
  return listAt(asked);
}
function takePage(records, next) {
  for (const action of records) {
    put(action);
    actions.get(action.uid).listed = list.generation;
  }
  list.isNew = false;
  list.last = records.at(-1) ?? list.last;
  list.next = next;
  if (!next) Object.assign(list, { phase: list.phase + 1, last: null });
  list.over = list.phase >= list.phases.length;
  list.full = !list.over && actions.size >= MOST_ROWS;
  dirty(true);
}
/* An action of the list was evicted: the list ends before it. */
function endListBefore(action) {
  if (action.listed === list.generation) list.full = true;
}

const phaseOf = action => Math.max(0, list.phases.findIndex(({ states: only }) => only.length === 0 || only.includes(action.state)));
function compare(a, b) {
  const byUid = a.uid < b.uid ? 1 : -1;
  if (view.order === "newest") return b.created - a.created || byUid;
  if (view.order === "oldest") return a.created - b.created || -byUid;
  const rank = phaseOf(a) - phaseOf(b);
  return rank || (isUnfinished(a) ? b.created - a.created : endOf(b) - endOf(a)) || byUid;
}
/* Returns true if the list has been read as far as this action. Beyond that it would have gaps. */
function isReached(action) {
  if (list.over || action.listed === list.generation) return true;
  if (phaseOf(action) !== list.phase) return phaseOf(action) < list.phase;
  return list.last !== null && compare(action, list.last) <= 0;
}
const isInOrder = action => view.order !== "finished" || !isUnfinished(action);
function order() {
  return [...actions.values()].filter(action => matches(action) && isInOrder(action) && isReached(action)).sort(compare);
}

/* ---- rows ---- */

const rows = new Map();     // the rows in the document, by uid
let cursor = null;          // uid of the row that the keyboard is on
let rowHeight = 52;

function newRow(uid) {
  const cell = (name, ...children) => make("div", { role: "gridcell", class: name }, ...children);
  const row = make("div", { role: "row", class: "row", tabindex: "-1", "data-uid": uid },
    cell("state", make("span", { class: "badge" })),
    cell("what", make("div", { class: "name" }, isolated("")), make("div", { class: "note" }, isolated(""))),
    cell("object", isolated("")), cell("tenant", isolated("")),
    cell("progress", make("progress", { class: "meter", max: 100, "aria-label": "Progress" }), make("span", { class: "number" }), make("span", { class: "rest" })),
    cell("created", make("time", { class: "number" })), cell("ended", make("time", { class: "number" })), cell("took number"));
  rows.set(uid, row);
  return row;
}
function drawTime(cell, at) {
  const tag = cell.firstChild;
  tag.hidden = at === null;
  if (at === null) return;
  if (tag.dateTime !== new Date(at).toISOString()) Object.assign(tag, { dateTime: new Date(at).toISOString(), title: exact(at) });
  setText(tag, ago(at));
}
function drawRow(row, action, index) {
  const [state, what, object, tenant, progress, created, ended, took] = row.children;
  if (row.index !== index) {
    row.index = index;
    row.style.transform = `translateY(${index * rowHeight}px)`;
    row.ariaRowIndex = index + 2;
  }
  setText(took, duration(action));
  drawTime(created, action.created);
  drawTime(ended, action.finished);
  drawRest(progress.lastChild, action);
  setAttribute(row, "aria-selected", action.uid === view.action);
  if (row.drawn === action) return;
  row.drawn = action;
  row.dataset.state = action.state;
  setText(state.firstChild, stateWord(action));
  setText(what.firstChild.firstChild, action.name);
  setText(what.lastChild.firstChild, note(action));
  what.title = [action.name, note(action)].filter(Boolean).map(marked).join("\n");
  for (const [cell, text] of [[object, action.object], [tenant, action.tenant]]) {
    setText(cell.firstChild, text ?? "");
    cell.title = marked(text ?? "");
  }
  drawProgress(progress, action);
}
function drawProgress(cell, action) {
  const [meter, number] = cell.children;
  const none = action.state === "queued" || action.state === "succeeded";
  meter.value = action.progress;
  meter.hidden = none;
  setText(number, none ? "" : percent(action.progress));
}

/* The part of the list that is in the window. */
function inWindow() {
  const top = -$("rows").getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / rowHeight) - OVERSCAN);
  const last = Math.min(list.order.length, Math.ceil((top + innerHeight) / rowHeight) + OVERSCAN);
  return [Math.min(first, list.order.length), Math.max(last, 0)];
}
function drawWindow() {
  const body = $("rows"), [first, last] = inWindow();
  const focused = document.activeElement?.closest?.("#rows .row");
  const shown = new Map();
  for (let index = first; index < last; index++) shown.set(list.order[index].uid, index);
  // The row with the keyboard stays, wherever the window is.
  const at = list.index.get(cursor);
  if (at === undefined) cursor = list.order[0]?.uid ?? null;
  if (cursor) shown.set(cursor, list.index.get(cursor));
  for (const [uid, row] of rows) if (!shown.has(uid)) { row.remove(); rows.delete(uid); }
  let place = body.firstElementChild;
  for (const [uid, index] of [...shown].sort((a, b) => a[1] - b[1])) {
    const row = rows.get(uid) ?? newRow(uid);
    drawRow(row, list.order[index], index);
    row.tabIndex = uid === cursor ? 0 : -1;
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  }
  // Restore the focus: to the moved row, or to the successor of a removed one.
  if (focused && document.activeElement !== focused) (rows.get(focused.dataset.uid) ?? rows.get(cursor))?.focus({ preventScroll: true });
  wantEstimates();
  if (last > list.order.length - 50 && list.order.length > 0 && !list.fault && isNearEnd()) readRows(MORE);
}
const isNearEnd = () => $("end").getBoundingClientRect().top < innerHeight * 3;

/* Puts the list in order anew. What is in the window stays where it is. */
function drawList() {
  if (list.isNew) return drawEnds();
  const top = $("rows").getBoundingClientRect().top;
  const kept = top < 0 ? list.order[Math.ceil(-top / rowHeight)]?.uid : null;
  const before = kept && list.index.get(kept);
  list.order = order();
  list.index = new Map(list.order.map((action, index) => [action.uid, index]));
  $("rows").style.height = `${list.order.length * rowHeight}px`;
  setAttribute($("grid"), "aria-rowcount", list.over ? list.order.length + 1 : -1);
  const after = kept && list.index.get(kept);
  if (typeof after === "number" && after !== before) scrollBy(0, (after - before) * rowHeight);
  drawEnds();
}
/* A new list begins at its first row. */
function scrollToList() {
  const top = $("grid").getBoundingClientRect().top;
  if (top < 0) scrollBy(0, top);
}
function measureRows() {
  const height = parseFloat(getComputedStyle($("grid")).getPropertyValue("--row")) || 52;
  if (height === rowHeight) return;
  rowHeight = height;
  for (const row of rows.values()) row.index = null;
  dirty(true);
}

function drawEnds() {
  const found = list.order.length;
  setText($("list-title"), isFiltered() ? "Matching actions" : "All actions");
  setText($("count"), found === 0 ? "" : `${found.toLocaleString()} ${list.over ? "in all" : "loaded"}`);
  setText($("zone"), `Times are in ${zone()}`);
  for (const head of document.querySelectorAll("#grid [data-order]")) {
    const directions = { newest: "descending", oldest: "ascending", finished: "descending" };
    setAttribute(head.parentElement, "aria-sort", head.dataset.order.split(" ").includes(view.order) ? directions[view.order] : null);
  }
  setAttribute($("grid"), "aria-busy", list.isNew);
  setText($("further"), list.fault ? "Try again" : "Load more");
  $("further").hidden = list.over || list.busy || list.full;
  setText($("said"), list.fault || (list.busy ? "Loading" : endWords(found)));
}
function endWords(found) {
  if (list.full) return `The page keeps ${MOST_ROWS.toLocaleString()} actions. Filter to see older ones.`;
  if (!list.over || heardAt === null) return "";
  if (found > 0) return "These are all.";
  return isFiltered() ? "No action matches these filters." : "No action is recorded yet.";
}
/* Moves the keyboard to a row, which is scrolled into the window. */
function moveTo(index) {
  const action = list.order[Math.min(Math.max(index, 0), list.order.length - 1)];
  if (!action) return;
  cursor = action.uid;
  const top = $("rows").getBoundingClientRect().top + list.index.get(cursor) * rowHeight;
  const head = document.querySelector("#grid .heads").offsetHeight;
  if (top < head) scrollBy(0, Math.floor(top - head));
  else if (top + rowHeight > innerHeight) scrollBy(0, Math.ceil(top + rowHeight - innerHeight));
  drawWindow();
  rows.get(cursor)?.focus({ preventScroll: true });
}
/* A column's heading: in its order, in the other direction if it has one, then as before. */
function pressHeading(orders) {
  const at = orders.indexOf(view.order);
  go({ order: orders[at + 1] ?? "" });
}

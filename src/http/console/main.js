/* ---- drawing, input, start ---- */

const drawing = { isDue: false, isReordered: false };

/* Draws soon; with `isReordered`, puts the list in order anew. */
function dirty(isReordered = false) {
  drawing.isReordered ||= isReordered;
  if (drawing.isDue) return;
  drawing.isDue = true;
  setTimeout(() => requestAnimationFrame(draw), 120);
}
function draw() {
  const { isReordered } = drawing;
  Object.assign(drawing, { isDue: false, isReordered: false });
  if (isReordered) {
    drawList();
    drawSuggestions();
  } else {
    drawEnds();
  }
  drawTiles();
  drawWindow();
  drawTimeline();
  drawDetail();
  announce();
}
function announce() {
  if (announced.length === 0) return;
  const [first] = announced;
  setText($("news"), announced.length === 1 ? `${nameOf(first)} ${first.state}` : `${announced.length} actions failed or were lost`);
  announced = [];
}
/* Names and tenants of known actions, as suggestions. Made anew only when somebody types. */
function drawSuggestions() {
  for (const [field, id, input] of [["name", "names", "q"], ["tenant", "tenants", "tenant"]]) {
    if (document.activeElement !== $(input)) continue;
    const values = [...new Set([...actions.values()].map(action => action[field]))].sort().slice(0, 200);
    if ($(id).dataset.key === values.join("\n")) continue;
    $(id).dataset.key = values.join("\n");
    $(id).replaceChildren(...values.map(value => make("option", { value: /[\s:="*]/.test(value) && field === "name" ? `"${value}"` : value })));
  }
}

/* Reads everything anew, as the view says. */
function refreshAll() {
  forgetCounts();
  refreshCounts();
  startList();
  readTimeline().catch(fault => { if (!isAborted(fault)) counts.fault = wordsOf(fault); });
  if (view.action) readDetail();
}
const listKey = () => JSON.stringify([view.q, view.state, view.created, view.finished, view.tenant, view.owner, view.parent, view.order]);
let shownKey = "", shownSpan = "";
function viewChanged() {
  readAddress();
  fillForm();
  const isNew = shownKey !== listKey(), isOther = shownSpan !== view.span;
  [shownKey, shownSpan] = [listKey(), view.span];
  if (position !== null && (isNew || isOther)) isNew ? refreshAll() : spanChanged();
  showDetail();
  dirty(true);
}
function spanChanged() {
  forgetCounts();
  refreshCounts();
  readTimeline().catch(() => { /* The counts say what is wrong. */ });
}

function setUp() {
  makeTiles();
  for (const [value, [words]] of Object.entries(SPANS)) $("span").append(make("option", { value }, words));
  for (const [value, [, words]] of Object.entries(RANGES)) $("range").insertBefore(make("option", { value }, words), $("range").lastChild);
  $("filters").addEventListener("input", typed);
  $("filters").addEventListener("submit", event => { event.preventDefault(); readForm(); });
  $("clear").onclick = event => { event.preventDefault(); clearFilters(); };
  $("span").onchange = () => go({ span: $("span").value });
  $("times").addEventListener("toggle", () => { if ($("times").open && position !== null) spanChanged(); });
  for (const radio of document.querySelectorAll('input[name="by"]')) radio.onchange = chooseBy;
  for (const head of document.querySelectorAll("#grid [data-order]")) head.onclick = () => pressHeading(head.dataset.order.split(" "));
  $("signin").addEventListener("cancel", event => event.preventDefault());
  $("further").onclick = () => readRows(MORE);
  $("later").onclick = readLater;
  $("close").onclick = () => show(null);
  $("pause").onclick = () => setPaused(!isPaused);
  $("leave").onclick = leave;
  setUpRows();
  setUpKeys();
  setUpWindow();
}
function leave() {
  forget();
  clearFilters();
  go({ ...VIEW }, true);
}
function setUpRows() {
  $("rows").addEventListener("click", event => {
    const row = event.target.closest(".row");
    if (row && String(getSelection()) === "") show(row.dataset.uid);
  });
  $("rows").addEventListener("focusin", event => {
    const row = event.target.closest(".row");
    if (!row || row.dataset.uid === cursor) return;
    if (rows.has(cursor)) rows.get(cursor).tabIndex = -1;
    cursor = row.dataset.uid;
    row.tabIndex = 0;
  });
  $("rows").addEventListener("keydown", pressInRows);
  $("timeline").addEventListener("click", event => {
    const bar = event.target.closest("g[data-uid]");
    if (bar) show(bar.dataset.uid);
  });
}
function pressInRows(event) {
  const row = event.target.closest(".row");
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = row.index;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: list.order.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (to !== undefined) moveTo(to);
  else if (event.key === "Enter" || event.key === " ") show(row.dataset.uid);
  else return;
  event.preventDefault();
}
function setUpKeys() {
  document.addEventListener("keydown", event => {
    if ($("signin").open || event.ctrlKey || event.metaKey || event.altKey) return;
    const writes = event.target.closest?.("input, select, textarea");
    if (event.key === "/" && !writes) {
      event.preventDefault();
      if (narrow.matches) show(null);
      $("q").focus();
      $("q").select();
    } else if (event.key === "Escape" && view.action) {
      event.preventDefault();
      show(null);
    } else if (event.key === "Escape" && event.target === $("q")) {
      $("q").value = "";
      readForm();
    } else if (event.key === "ArrowDown" && event.target === $("q") && list.order.length > 0) {
      event.preventDefault();
      moveTo(list.index.get(cursor) ?? 0);
    }
  });
}
function setUpWindow() {
  let isScrolled = false;
  addEventListener("scroll", () => {
    if (isScrolled) return;
    isScrolled = true;
    requestAnimationFrame(() => { isScrolled = false; drawWindow(); });
  }, { passive: true });
  addEventListener("hashchange", viewChanged);
  addEventListener("popstate", viewChanged);
  addEventListener("online", () => rest.abort());
  addEventListener("offline", cutOff);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    refreshSoon();
    if (open.isDue && !open.isReading) readDetail();
    dirty();
  });
  new ResizeObserver(() => { measureRows(); dirty(); }).observe($("main"));
  narrow.onchange = fitWidth;
  fitWidth();
  setInterval(tick, 1000);
}
function fitWidth() {
  $("more").open = $("times").open = !narrow.matches;
  $("main").inert = view.action !== "" && narrow.matches;
}
let slotShown = 0;
/* Time goes on: durations grow, and a new slot of the timeline begins. */
function tick() {
  if (document.hidden || stoppedAt !== null) return;
  dirty();
  const begin = slotsOf(view.span).begins.at(-1);
  if (begin !== slotShown && isLive()) refreshSoon();
  slotShown = begin;
}

setUp();
viewChanged();
follow();

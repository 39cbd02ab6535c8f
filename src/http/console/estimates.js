/* ---- expected remaining time of executing actions: in the panel, and in the rows of the window ---- */

const EXPECTED = { typical: "usually about % more", slow: "slower than usual, up to % more", beyond: "% longer than usual" };
const EXPECTED_SHORT = { typical: "about % more", slow: "up to % more", beyond: "% over" };
const STANDS = 60000;       // ms for which an estimate stands, unless its time passes
const ASKED_AT_ONCE = 2;
const ASKED_EVERY = 200;    // ms between two requests, at least
const MOST_ESTIMATES = 1000;

/* By uid: what the store expected, when by its clock, and when it was asked. */
const estimates = new Map();
let asking = 0;

function secondsLeft({ rest, readAt }) {
  const passed = (now() - readAt) / 1000;
  return rest.expected === "beyond" ? rest.seconds + passed : rest.seconds - passed;
}
const isOver = estimate => secondsLeft(estimate) < 0 && now() - estimate.readAt > 5000;
function restWords(estimate, words) {
  return words[estimate.rest.expected].replace("%", length(Math.max(secondsLeft(estimate), 0) * 1000, true));
}
function drawRest(tag, action) {
  const estimate = action.state === "executing" && estimates.get(action.uid);
  const isKnown = estimate && estimate.rest;
  tag.hidden = action.state !== "executing";
  setText(tag, isKnown ? restWords(estimate, EXPECTED_SHORT) : "");
  tag.title = isKnown ? restWords(estimate, EXPECTED) : "";
}
function isWanted(action) {
  if (action.state !== "executing") return false;
  const estimate = estimates.get(action.uid);
  return !estimate || performance.now() - estimate.asked > STANDS || (estimate.rest && isOver(estimate));
}
/* Asks for the estimates of rows in the window, a few at a time. */
function wantEstimates() {
  if (!isLive() || isPaused || document.hidden) return;
  for (const uid of rows.keys()) {
    if (asking >= ASKED_AT_ONCE) return;
    const action = actions.get(uid);
    if (action && isWanted(action)) readEstimate(uid);
  }
}
async function readEstimate(uid) {
  asking++;
  const estimate = { rest: null, readAt: serverTime(), asked: performance.now() };
  // Without an answer, the next attempt is as late as the next estimate.
  estimates.delete(uid);
  estimates.set(uid, estimate);
  if (estimates.size > MOST_ESTIMATES) estimates.delete(estimates.keys().next().value);
  try {
    const { body } = await read(`${base}/${encodeURIComponent(uid)}?view=full`);
    Object.assign(estimate, { rest: body.remaining ?? null, readAt: serverTime() });
  } catch { /* There is no estimate. */ }
  dirty();
  await pause(ASKED_EVERY);
  asking--;
  wantEstimates();
}

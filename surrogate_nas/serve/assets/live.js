// Announces a newer report on the report's page, and loads it if the page has not been scrolled.
import { ask, byId, element } from "./common.js";

const EVERY = 2000;
const AT_THE_TOP = 40;
const strip = byId("live"), place = byId("live-note"), time = byId("live-time");

async function look() {
  let state;
  try {
    state = await ask("/state");
  } catch (error) {
    place.textContent = error.message;
    return;
  }
  time.textContent = state.time;
  if (String(state.version) !== strip.dataset.version) {
    if (scrollY < AT_THE_TOP) location.reload();
    else place.replaceChildren(element("a", { href: "/" }, `Show the newer report, of ${state.trainings} trainings`), ".");
  } else if (state.problem) place.textContent = `The report could not be updated: ${state.problem}`;
  else place.textContent = state.making ? "A newer report is being made." : "";
}

await look();
setInterval(look, EVERY);

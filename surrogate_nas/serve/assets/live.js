// Says on the report's page when there is a newer one, and loads it where nobody has begun to read.
import { ask, byId, element } from "./common.js";

const EVERY = 2000;
const AT_THE_TOP = 40;
const strip = byId("live"), place = byId("live-note");

async function look() {
  let said;
  try {
    said = await ask("/state");
  } catch (error) {
    place.textContent = error.message;
    return;
  }
  if (String(said.version) !== strip.dataset.version) {
    if (scrollY < AT_THE_TOP) location.reload();
    else place.replaceChildren(element("a", { href: "/" }, `Show the newer one, of ${said.trainings} trainings`), ".");
  } else if (said.problem) place.textContent = `A newer one could not be made: ${said.problem}`;
  else place.textContent = said.making ? "A newer one is being made." : "";
}

await look();
setInterval(look, EVERY);

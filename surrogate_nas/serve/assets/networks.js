// Card of a network: its measurements at each point of its threshold curve.
import { ask, byId, count, describe, element, mix, note, percent } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 420, HEIGHT = 280, LEFT = 60, RIGHT = 12, TOP = 12, BELOW = 44;
const choice = byId("network"), slider = byId("place");
let space, card, marker, scale;

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function scales(curve) {
  const macs = curve.map((p) => Math.log10(p.expected_macs));
  const accuracies = curve.flatMap((p) => [p.accuracy, p.test.accuracy]);
  const [low, high] = [Math.min(...macs) - 0.05, Math.max(...macs) + 0.05];
  const [worst, best] = [Math.max(Math.min(...accuracies) - 0.02, 0), Math.min(Math.max(...accuracies) + 0.02, 1)];
  return {
    low, high, worst, best,
    x: (value) => LEFT + ((Math.log10(value) - low) / (high - low)) * (WIDTH - LEFT - RIGHT),
    y: (share) => TOP + ((best - share) / (best - worst)) * (HEIGHT - TOP - BELOW),
  };
}

function axes() {
  const parts = [drawn("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BELOW}H${WIDTH - RIGHT}` })];
  for (let i = 0; i <= 3; i++) {
    const share = scale.worst + (i / 3) * (scale.best - scale.worst);
    const macs = 10 ** (scale.low + (i / 3) * (scale.high - scale.low));
    const anchor = ["start", "middle", "middle", "end"][i];
    parts.push(drawn("text", { x: LEFT - 6, y: scale.y(share) + 4, "text-anchor": "end" }, percent(share)));
    parts.push(drawn("text", { x: scale.x(macs), y: HEIGHT - BELOW + 16, "text-anchor": anchor }, rounded(macs)));
  }
  parts.push(drawn("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 8, "text-anchor": "middle" },
    "expected MACs (log scale)"));
  return parts;
}

const rounded = (value) => count(Number(value.toPrecision(2)));

function line(kind, accuracy) {
  const points = card.curve.map((p) => `${scale.x(p.expected_macs)},${scale.y(accuracy(p))}`).join(" ");
  return drawn("polyline", { class: kind, points });
}

function plot() {
  scale = scales(card.curve);
  marker = drawn("circle", { class: "here", r: 6 });
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `Accuracy of ${card.id} over expected MACs` });
  picture.append(...axes(), line("tune", (p) => p.accuracy), line("test", (p) => p.test.accuracy), marker);
  const caption = element("figcaption", {}, "Accuracy over expected MACs on tune: solid on test, dashed on tune.");
  byId("plot").replaceChildren(picture, caption);
}

function facts() {
  byId("encoding").textContent = card.encoding;
  describe(byId("facts"), [
    ["Origin", `${card.origin}, seed ${card.seed}`], ["Parameters", count(card.parameters)],
    ["On the front", card.on_front ? "yes" : "no"],
    ["Exits", String(card.exits.length)], ["Points of the curve", String(card.curve.length)],
  ]);
}

function show() {
  const point = card.curve[slider.valueAsNumber], { test } = point;
  const [low, high] = test.accuracy_interval;
  const accuracy = `${percent(test.accuracy)} [${percent(low)}, ${percent(high)}]`;
  describe(byId("figures"), [
    ["Thresholds", element("code", {}, point.printed)],
    [`Accuracy, ${card.test_images} test images [95 %]`, accuracy],
    [`Accuracy, ${card.tune_images} tune images`, percent(point.accuracy)],
    ["Expected MACs, test", count(test.expected_macs)], ["Expected MACs, tune", count(point.expected_macs)],
    ["Worst-case MACs", count(point.worst_macs)],
    ["The study's limits", point.keeps_limits ? "kept on tune" : "not kept on tune"],
  ]);
  slider.setAttribute("aria-valuetext", `${percent(test.accuracy)} accurate, ${count(test.expected_macs)} MACs`);
  marker.setAttribute("cx", scale.x(point.expected_macs));
  marker.setAttribute("cy", scale.y(test.accuracy));
  const on = point.thresholds.split(",");
  const exits = card.exits.map((exit) => exit - 1).filter((e) => e === space.positions - 1 || on[e] !== "off");
  mix(byId("mix"), exits.map((e) => ({ exit: e, rate: test.rates[e], text: words(test, e) })), space.colours);
  byId("try").href = `/what-if#choices=${card.choices.join(".")}&thresholds=${point.thresholds}`;
}

function words(test, e) {
  const name = `exit ${e + 1}${e === space.positions - 1 ? ", the last" : ""}`;
  const right = test.exit_accuracy[e];
  const leave = right === null ? "no image leaves here" : `${percent(test.rates[e])} leave, ${percent(right)} of them right`;
  return `${name}: ${leave}; ${count(test.macs[e])} MACs`;
}

async function load() {
  try {
    card = await ask(`/trained/${choice.value}`);
  } catch (error) {
    note(error.message);
    return;
  }
  note("");
  history.replaceState(null, "", `#${card.id}`);
  slider.max = card.curve.length - 1;
  slider.value = Math.max(card.curve.findLastIndex((p) => p.keeps_limits), 0);
  byId("card").hidden = false;
  facts();
  plot();
  show();
}

async function begin() {
  const [about, trained] = await Promise.all([ask("/space"), ask("/trained")]);
  space = about;
  if (!trained.length) return note("No network has been trained yet.");
  choice.append(...trained.map((n) => element("option", { value: n.id },
    `${n.id}, ${n.origin}, ${count(n.last_exit_macs)} MACs to the end${n.on_front ? ", on the front" : ""}`)));
  const wanted = trained.find((n) => n.id === location.hash.slice(1)) ?? trained.find((n) => n.on_front) ?? trained[0];
  choice.value = wanted.id;
  await load();
}

choice.addEventListener("change", load);
slider.addEventListener("input", show);
begin().catch((error) => note(error.message));

// The what-if form: a prediction from genes, thresholds and limits.
import { ask, byId, count, describe, element, mix, note, percent } from "./common.js";

const PAUSE = 120;  // milliseconds without a change before a request to the server
const selects = new Map();
let space, timer, asked = 0;

// ---------------------------------------------------------------------- the form

function fields() {
  const groups = new Map();
  space.genes.forEach((gene, g) => {
    if (!gene.encoded) return;
    const select = element("select", { id: `gene${g}` },
      ...gene.values.map((value, i) => element("option", { value: i }, value)));
    const there = space.exits.includes(g);
    select.value = there ? gene.values.length - 1 : Math.floor(gene.values.length / 2);
    selects.set(g, select);
    if (!groups.has(gene.group)) groups.set(gene.group, []);
    groups.get(gene.group).push(element("p", { class: "field" },
      element("label", { for: `gene${g}` }, gene.name), " ", select));
  });
  const sets = [...groups].map(([name, rows]) => element("fieldset", {}, element("legend", {}, name), ...rows));
  byId("genes").replaceChildren(element("h2", {}, "Architecture"), element("div", { class: "sets" }, ...sets));
}

const chosen = () => space.genes.map((_, g) => (selects.has(g) ? Number(selects.get(g).value) : 0));

function applying(choices) {
  const applies = [];
  space.genes.forEach((gene, g) => {
    applies[g] = gene.needs.every(([parent, allowed]) => applies[parent] && allowed.includes(choices[parent]));
  });
  return applies;
}

function enable() {
  const choices = chosen(), applies = applying(choices), own = byId("own").checked;
  for (const [g, select] of selects) select.disabled = !applies[g];
  for (const row of document.querySelectorAll(".threshold")) {
    const e = Number(row.dataset.exit), gene = space.exits[e], off = byId(`off${e}`);
    row.hidden = gene === null || choices[gene] !== 1;
    off.disabled = !own;
    byId(`t${e}`).disabled = !own || off.checked;
  }
}

function vector() {
  const choices = chosen(), applies = applying(choices);
  return [...selects.keys()]
    .map((g) => (applies[g] ? Number((choices[g] / (space.genes[g].values.length - 1)).toFixed(6)) : 0)).join(",");
}

function thresholds() {
  if (!byId("own").checked) return null;
  return [...document.querySelectorAll(".threshold")].map((row) => {
    const e = row.dataset.exit;
    return row.hidden || byId(`off${e}`).checked ? "off" : byId(`t${e}`).value;
  }).join(",");
}

function limits() {
  const asked = { ...space.limits }, macs = byId("max_macs").value, accuracy = byId("min_accuracy").value;
  delete asked.max_macs;
  delete asked.min_accuracy;
  if (macs) asked.max_macs = Number(macs);
  if (accuracy) asked.min_accuracy = Number(accuracy) / 100;
  return asked;
}

function choose(choices) {
  choices.forEach((value, g) => selects.has(g) && (selects.get(g).value = value));
}

function setThresholds(text) {
  text.split(",").forEach((word, e) => {
    byId(`off${e}`).checked = word === "off";
    if (word !== "off") setThreshold(e, Number(word));
  });
}

function setThreshold(e, value) {
  const slider = byId(`t${e}`);
  slider.step = "any";  // thresholds of the best network need not lie on a step
  slider.value = value;
  showThreshold(slider);
}

function showThreshold(slider) {
  slider.nextElementSibling.textContent = Number(slider.value).toFixed(2);
}

// ---------------------------------------------------------------------- the answer

async function predict() {
  const number = ++asked;
  try {
    const [answer] = await ask("/query", { encodings: [vector()], thresholds: thresholds(), limits: limits() });
    if (number !== asked) return;
    note("");
    show(answer);
  } catch (error) {
    if (number === asked) note(error.message);
  }
}

async function findBest() {
  clearTimeout(timer);  // else the prediction of an earlier choice would replace this answer
  const number = ++asked;
  try {
    const best = await ask("/best", { limits: limits(), n: 1 });
    if (number !== asked) return;
    note("");
    choose(best.choices[0]);
    byId("own").checked = false;
    setThresholds(best.answers[0].thresholds);
    enable();
    show(best.answers[0]);
  } catch (error) {
    if (number === asked) note(error.message);
  }
}

const shares = ([mean, low, high]) => `${percent(mean)} [${percent(low)}, ${percent(high)}]`;
const amounts = ([mean, low, high]) => `${count(mean)} [${count(low)}, ${count(high)}]`;

function show(answer) {
  const list = element("dl"), bar = element("div", { class: "mix" });
  const entries = [
    ["Accuracy", shares(answer.accuracy)], ["Expected MACs", amounts(answer.expected_macs)],
    ["Probability of keeping the limits", `${answer.feasible_probability.toFixed(2)}`],
    ["Worst-case MACs", count(answer.worst_macs)], ["Parameters", count(answer.parameters)],
    ["Bytes of weights", count(answer.weight_bytes)], ["Bytes of activations", count(answer.activation_bytes)],
    ["Thresholds", element("code", {}, answer.thresholds)], ["Encoding", element("code", {}, answer.encoding)],
  ];
  if (answer.cost) entries.splice(2, 0, ["Expected cost", answer.cost.map((c) => c.toPrecision(4)).join(", ")]);
  describe(list, entries);
  const on = answer.exit_accuracies.map((a, e) => [a, e]).filter(([a]) => a !== null).map(([, e]) => e);
  mix(bar, on.map((e) => ({ exit: e, rate: answer.exit_probabilities[e][0], text: leaving(answer, e) })), space.colours);
  byId("prediction").replaceChildren(...cautions(answer), list, element("h3", {}, "Exit rates"), bar, exits(answer, on), ...trained(answer));
  byId("summary").hidden = false;
  byId("summary").textContent = `${percent(answer.accuracy[0])} accurate, ${count(answer.expected_macs[0])} expected MACs`;
  if (!byId("own").checked) setThresholds(answer.thresholds);
}

function cautions(answer) {
  return answer.cautions.length ? [element("p", { class: "warning" }, `Caution: ${answer.cautions.join("; ")}.`)] : [];
}

function leaving(answer, e) {
  return `exit ${e + 1}${e === space.positions - 1 ? ", the last" : ""}: ${percent(answer.exit_probabilities[e][0])}`;
}

function exits(answer, on) {
  const head = element("tr", {}, ...["exit", "MACs", "leave [90 %]", "of them right [90 %]"].map(
    (name) => element("th", { scope: "col" }, name)));
  const rows = on.map((e) => element("tr", {}, element("th", { scope: "row" }, String(e + 1)),
    ...[count(answer.macs[e]), shares(answer.exit_probabilities[e]), shares(answer.exit_accuracies[e])].map(
      (text) => element("td", {}, text))));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Exits" }, table);
}

function trained(answer) {
  return answer.trained.map((t) => element("p", {}, "Trained as ", element("a", { href: `/networks#${t.id}` }, t.id),
    `: accuracy ${percent(t.accuracy)}, expected MACs ${count(t.expected_macs)} on tune.`));
}

// ---------------------------------------------------------------------- beginning

function changed(event) {
  if (event.target.type === "range") showThreshold(event.target);
  enable();
  clearTimeout(timer);
  timer = setTimeout(predict, PAUSE);
}

async function begin() {
  space = await ask("/space");
  fields();
  const given = new URLSearchParams(location.hash.slice(1));
  if (space.limits.max_macs) byId("max_macs").value = space.limits.max_macs;
  if (space.limits.min_accuracy) byId("min_accuracy").value = 100 * space.limits.min_accuracy;
  if (given.has("choices")) choose(given.get("choices").split("."));
  if (given.has("thresholds")) {
    byId("own").checked = true;
    setThresholds(given.get("thresholds"));
  }
  enable();
  await predict();
}

byId("form").addEventListener("input", changed);
byId("form").addEventListener("submit", (event) => event.preventDefault());
byId("best").addEventListener("click", findBest);
begin().catch((error) => note(error.message));

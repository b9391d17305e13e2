// Shared code of the pages: requests to the server, formatted numbers, and elements.

const ROOM = 0.15;  // share of a bar that has room for text on a phone

export async function ask(address, body) {
  const options = body === undefined ? {} :
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer.");
  }
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

export const count = (value) => Math.round(value).toLocaleString("en-US");
export const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Replaces the content of a list by pairs of a term and its description.
export function describe(list, entries) {
  list.replaceChildren(...entries.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));
}

export function note(message) {
  const place = byId("note");
  place.hidden = !message;
  place.textContent = message;
}

function coloured(made, [back, front]) {
  made.style.background = back;
  made.style.color = front;
  return made;
}

// A bar with the share of images that leave at each exit, and a list with its numbers.
export function mix(place, shares, colours) {
  const bar = element("div", { class: "bar", "aria-hidden": "true" });
  const words = element("ul");
  for (const { exit, rate, text } of shares) {
    if (rate > 0) {
      const part = element("span", {}, rate >= ROOM ? `${exit + 1}: ${(100 * rate).toFixed(0)}\u00a0%` : "");
      part.style.flexGrow = rate;
      bar.append(coloured(part, colours[exit]));
    }
    const key = element("span", { class: "key", "aria-hidden": "true" }, String(exit + 1));
    words.append(element("li", {}, coloured(key, colours[exit]), ` ${text}`));
  }
  place.replaceChildren(bar, words);
}

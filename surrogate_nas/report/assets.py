"""CSS and JavaScript embedded in the page."""

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 1100px; color: #1a1a1a; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: .5rem 0 1rem; font-size: 1.6rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid #ccc; font-size: 1.25rem; }
h3 { margin: 1.5rem 0 .25rem; font-size: 1rem; }
p, li { margin: .5rem 0; max-width: 46rem; }
ul { padding-left: 1.25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: 0 0 1rem; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: .5rem 0; min-width: 0; }
figcaption, .note { color: #555; font-size: .9rem; max-width: 46rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem; }
.warning { padding: .5rem .75rem; border-left: .3rem solid #d55e00; background: #fff4ec; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-spacing: 0; font-size: .875rem; font-variant-numeric: tabular-nums; }
thead th { border-bottom: 2px solid #999; vertical-align: bottom; white-space: normal; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .failed td,
.failed th, .trained :is(td, th):nth-child(2) { text-align: left; }
th:first-child { position: sticky; left: 0; background: #fff; }
tbody { break-inside: avoid; }
tbody tr:last-child > * { border-bottom: 1px solid #e0e0e0; }
tr.encoding td { padding-top: 0; padding-bottom: .4rem; white-space: normal; }
.failed td:nth-child(5) { min-width: 16rem; white-space: normal; overflow-wrap: anywhere; }
code { font: .8rem/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; color: #333;
  overflow-wrap: anywhere; }
button.copy { padding: 0 .4rem; border: 1px solid #aaa; border-radius: .25rem; background: #f6f6f6; color: #333;
  font: inherit; font-size: .75rem; cursor: pointer; }
.mix { margin: 1.1rem 0; break-inside: avoid; }
.mix p { margin: 0 0 .2rem; max-width: none; font-size: .9rem; overflow-wrap: anywhere; }
.mix ul { display: flex; flex-wrap: wrap; gap: .15rem 1.2rem; margin: .3rem 0 0; padding: 0; list-style: none;
  font-size: .8rem; }
.mix li { margin: 0; }
.bar { display: flex; height: 1.5rem; border: 1px solid #333; }
.bar span { flex: 0 1 0; min-width: 0; overflow: hidden; font-size: .8rem; line-height: 1.5rem; text-align: center;
  white-space: nowrap; }
.bar span + span { border-left: 2px solid #fff; }
.key { display: inline-block; min-width: 1.1rem; border: 1px solid #333; text-align: center; line-height: 1.1rem; }
.images { display: flex; flex-wrap: wrap; gap: .6rem; margin: .5rem 0; }
.images figure { width: 4.5rem; margin: 0; }
.images img { display: block; width: 4.5rem; height: 4.5rem; border: 1px solid #ccc; image-rendering: pixelated; }
.images figcaption { color: #1a1a1a; font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; }
.heat { display: block; padding: 0 .4rem; }
.classes tbody tr > * { border: 0; padding-top: .1rem; padding-bottom: .1rem; }
.bar span, .key, .heat { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media (max-width: 600px) {
  body { padding: .75rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
  th, td { padding-right: .6rem; }
  tbody th:first-child { max-width: 7rem; white-space: normal; }
  tr.encoding code { display: block; max-width: calc(100vw - 2rem); }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  figure, .warning, .leaving { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  .pair { display: block; }
  .modebar, button.copy { display: none; }
}
"""
SCRIPT = """
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {  // the page has no access to the clipboard: select the text, to be copied by hand
    getSelection().selectAllChildren(code);
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy"; }, 2000);
});
const drawAll = (width) => document.querySelectorAll(".plotly-graph-div").forEach(
  (plot) => Plotly.relayout(plot, { width: width && Math.min(width, plot.clientWidth), autosize: !width }));
addEventListener("beforeprint", () => drawAll(680));  // pixels of a printed page; figures do not shrink by themselves
addEventListener("afterprint", () => drawAll(null));
"""

/** Inline style of report.html: light and dark, phone to desktop, paper. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1b1f24; --quiet: #59626b; --line: #d3d9df; --grid: #e4e4e4; --soft: #f5f7f9; --link: #0b5a9c;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #15181c; --ink: #e6e9ec; --quiet: #a9b2bb; --line: #3a4149; --grid: #343a41; --soft: #1e2329; --link: #82bdf5; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 6.5rem; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; z-index: 3; padding: .4rem .8rem; background: var(--page); }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; overflow-wrap: anywhere; }
h4 { font-size: 1rem; margin: 1rem 0 .4rem; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, input:focus-visible, summary:focus-visible, .scroll:focus-visible, pre:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px;
}
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1rem 0; padding: 0; list-style: none; }
nav a { display: inline-block; padding: .2rem 0; }
.notice { margin: 1rem 0; padding: .6rem .9rem; border-left: 4px solid #d55e00; background: var(--soft); }
.notice p { margin: 0; }
#filters { position: sticky; top: 0; z-index: 2; background: var(--page); border-bottom: 1px solid var(--line); }
#filters form { max-width: 68rem; margin: 0 auto; padding: .5rem 1rem; display: flex; flex-wrap: wrap; align-items: center; gap: .3rem 1.5rem; }
fieldset { display: flex; flex-wrap: wrap; align-items: center; gap: .1rem .9rem; margin: 0; padding: 0; border: 0; min-width: 0; }
legend { float: left; padding: 0; font-weight: 600; margin-right: .2rem; }
label { display: inline-flex; align-items: center; gap: .35rem; min-height: 1.75rem; overflow-wrap: anywhere; }
input[type=checkbox] { width: 1.05rem; height: 1.05rem; flex: none; margin: 0; accent-color: var(--link); }
button { font: inherit; color: inherit; background: var(--soft); border: 1px solid var(--quiet); border-radius: .3rem; padding: .1rem .7rem; }
output { color: var(--quiet); font-size: .9rem; }
.scroll { overflow-x: auto; margin: 0; }
table { border-collapse: separate; border-spacing: 0; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 .4rem; }
th, td { padding: .22rem .6rem; text-align: left; vertical-align: baseline; }
tr > :first-child { padding-left: 0; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: normal; }
tbody tr > * { border-bottom: 1px solid var(--grid); }
tbody tr.new > * { border-top: 2px solid var(--line); }
tr.total > * { font-weight: 600; border-top: 2px solid var(--line); }
.n { text-align: right; white-space: nowrap; }
thead .n { white-space: normal; }
.grouped td { white-space: nowrap; }
#missing td { white-space: normal; min-width: 5ch; }
td.n a { text-decoration-color: var(--line); text-underline-offset: .2em; }
.d { display: inline-block; text-align: left; color: var(--quiet); }
.note { color: var(--quiet); font-size: .88rem; margin: .35rem 0; max-width: 48rem; }
.table { margin: 1rem 0 1.75rem; }
figure { margin: 1.5rem 0 2rem; }
figcaption { color: var(--quiet); font-size: .88rem; max-width: 48rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figure svg text { font-family: "DejaVu Sans", Verdana, sans-serif; }
figure svg a:hover path { opacity: .8; }
svg.marks > rect[fill=white] { fill: transparent; }
svg.marks text { fill: var(--ink); }
svg.marks [stroke="#e4e4e4"] { stroke: var(--grid); }
svg.marks [stroke="#888"] { stroke: var(--quiet); }
svg.marks [stroke="#222222"] { stroke: var(--ink); }
svg.marks [fill="#222222"], svg.marks [fill="#000000"] { fill: var(--ink); }
svg.marks [stroke=white] { stroke: var(--page); }
svg.marks image[image-rendering] { image-rendering: pixelated; }
pre { margin: .4rem 0; padding: .6rem .8rem; overflow-x: auto; background: var(--soft); border: 1px solid var(--line); border-radius: .3rem; font: .85rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
.seed p { margin: .2rem 0; font-size: .92rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.run { margin: 0 0 1.5rem; padding: 0 0 0 .9rem; border-left: 3px solid var(--line); }
.run:target, .seed:target { border-left-color: #d55e00; }
.seed { padding-left: .6rem; border-left: 3px solid transparent; }
summary { cursor: pointer; padding: .2rem 0; }
.hidden { position: absolute; left: -100vw; }
.empty figcaption, .empty .scroll, .empty .note { display: none; }
.empty::before { content: 'Everything here is filtered out.'; color: var(--quiet); }
.filtered { display: none !important; }
footer { margin-top: 3rem; padding-bottom: 2rem; color: var(--quiet); font-size: .88rem; }
@media (min-width: 44.001rem), print { .m { display: none; } }
@media screen and (max-width: 44rem) {
  #filters { position: static; }
  html { scroll-padding-top: .5rem; }
  figure svg { max-width: none; }
  th, td { padding: .22rem .45rem; }
  .grouped tr > :first-child { position: sticky; left: 0; background: var(--page); }
  .methods tr > :nth-child(2) { display: none; }
  .m { display: block; color: var(--quiet); }
}
@media print {
  :root { --page: #fff; --ink: #000; --quiet: #444; --line: #aaa; --grid: #ddd; --soft: #fff; --link: #000; }
  #filters, nav, .skip, .download { display: none; }
  html { font-size: 9.5pt; }
  header, main, footer { max-width: none; }
  .scroll { overflow: visible; }
  figure, .seed { break-inside: avoid; }
  figure svg { max-width: 100%; max-height: 24cm; }
  tr { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  table { font-size: 8pt; }
  th, td { padding: .1rem .35rem; }
}
`;

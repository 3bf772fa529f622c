/** Inline script of report.html: filters, stops of the keyboard. Without it everything is shown and can be reached. */
export const SCRIPT = `
'use strict';
const form = document.querySelector('#filters form');
const boxes = [...form.querySelectorAll('input')];
const status = form.querySelector('output');
const filtered = [...document.querySelectorAll('[data-task], [data-method]')];
const results = filtered.filter((element) => element.matches('#accuracy tbody tr'));
function apply() {
  const off = { task: new Set(), method: new Set() };
  for (const box of boxes) if (!box.checked) off[box.name].add(box.value);
  for (const element of filtered) {
    const { task, method } = element.dataset;
    element.classList.toggle('filtered', off.task.has(task) || off.method.has(method));
  }
  for (const frame of document.querySelectorAll('.table, figure')) {
    const parts = frame.querySelectorAll('[data-task]');
    const empty = parts.length > 0 && [...parts].every((part) => part.classList.contains('filtered'));
    frame.classList.toggle('empty', empty);
  }
  const shown = results.filter((row) => !row.classList.contains('filtered')).length;
  status.textContent = shown + ' of ' + results.length + ' results shown';
}
// Only what scrolls is a stop for the keyboard.
function stops() {
  for (const box of document.querySelectorAll('.scroll, pre')) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute('tabindex');
  }
}
form.addEventListener('change', apply);
addEventListener('resize', stops);
document.addEventListener('toggle', stops, true);
form.addEventListener('reset', () => setTimeout(apply));
form.addEventListener('submit', (event) => event.preventDefault());
form.parentElement.hidden = false;
apply();
stops();
`;

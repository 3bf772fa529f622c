// Draws docs/xbm.svg, the README's picture; its numbers are what `xbm hw-report` prints.
//   npm run build && node scripts/readme-picture.mjs
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const report = JSON.parse(
  execFileSync(
    process.execPath,
    ['bin/xbm.js', 'hw-report', '--preset', 'nn-imc', '--shares', 'published', '--json'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  )
    .trim()
    .split('\n')
    .at(-1),
);
const { methods } = report.tasks.cubs;

const ink = '#1f2933';
const faint = '#7b8794';
const on = '#2f6f9f';
const off = '#dde3e9';
const accent = '#c8553d';
const parts = [];
const text = (x, y, content, { size = 14, fill = ink, anchor = 'start', weight = 400 } = {}) =>
  parts.push(
    `<text x="${x}" y="${y}" font-size="${size}" fill="${fill}" text-anchor="${anchor}" font-weight="${weight}">${content}</text>`,
  );
const rect = (x, y, width, height, fill, extra = '') =>
  parts.push(`<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}" ${extra}/>`);

// Left: crossbar columns under the mask of one task.
const COLUMNS = 18;
const ROWS = 9;
const CELL = 12;
const tasks = [
  { name: 'birds', keep: (i) => (i * 7 + 3) % 8 > 2 },
  { name: 'flowers', keep: (i) => (i * 5 + 1) % 7 > 1 },
  { name: 'sketches', keep: (i) => (i * 11 + 4) % 9 > 3 },
];
text(24, 36, 'One frozen 4-bit ResNet-50 in ReRAM crossbars', { size: 16, weight: 600 });
text(24, 58, 'written once, for every task', { fill: faint });
for (let column = 0; column < COLUMNS; column++) {
  for (let row = 0; row < ROWS; row++) {
    const colour = tasks[0].keep(column) ? on : off;
    const opacity = tasks[0].keep(column) ? 0.35 + 0.6 * (((row * 31 + column * 17) % 7) / 7) : 1;
    rect(
      96 + column * (CELL + 4),
      78 + row * (CELL + 2),
      CELL,
      CELL,
      colour,
      `opacity="${opacity.toFixed(2)}" rx="1.5"`,
    );
  }
}
tasks.forEach(({ name, keep }, i) => {
  const y = 232 + i * 26;
  text(86, y + 11, name, { anchor: 'end', weight: i === 0 ? 600 : 400 });
  for (let column = 0; column < COLUMNS; column++) {
    rect(96 + column * (CELL + 4), y, CELL, CELL, keep(column) ? accent : off, 'rx="1.5"');
  }
});
text(24, 332, 'Each task learns one bit per 72-row column: 42.5 kB of masks.', { size: 13 });
text(24, 352, 'Columns that are off need no ADC; no cell is rewritten.', { size: 13, fill: faint });

// Right: what it costs to move to CUBS and run its test set.
const bars = [
  ['XBM', methods.xbm],
  ['Piggyback', methods.piggyback],
  ['Finetune', methods.finetune],
];
const LEFT = 605;
const WIDTH = 300;
const largest = Math.max(
  ...bars.map(([, costs]) => costs.inferenceTestSetJoules + costs.reprogrammingJoules),
);
text(520, 36, 'Energy for one task (CUBS, 5,794 test images)', { size: 16, weight: 600 });
rect(520, 49, 10, 10, on);
text(536, 58, 'inference', { fill: faint });
rect(620, 49, 10, 10, accent);
text(636, 58, 'reprogramming the cells', { fill: faint });
bars.forEach(([name, costs], i) => {
  const y = 92 + i * 70;
  const inference = (costs.inferenceTestSetJoules / largest) * WIDTH;
  const reprogramming = (costs.reprogrammingJoules / largest) * WIDTH;
  const total = costs.inferenceTestSetJoules + costs.reprogrammingJoules;
  text(LEFT - 10, y + 26, name, { anchor: 'end', size: 15 });
  rect(LEFT, y, inference, 40, on);
  rect(LEFT + inference, y, reprogramming, 40, accent);
  text(LEFT + inference + reprogramming + 8, y + 26, `${total.toPrecision(3)} J`, { size: 15, weight: 600 });
});
text(520, 332, 'xbm hw-report --preset nn-imc --shares published', { size: 13, fill: ink });
text(520, 352, '80 nJ per cell write (NN-IMC): the number everything hangs on', { size: 13, fill: faint });

writeFileSync(
  'docs/xbm.svg',
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 376" font-family="Helvetica, Arial, sans-serif" role="img" aria-label="Crossbar columns switched by the mask of a task, and the energy of XBM, Piggyback and Finetune">
<rect width="1000" height="376" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`,
);

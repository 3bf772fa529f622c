/** @file `npm run bench:sweep`: ResNet-50 totals per second on one thread, and the model time of a full report. */
import { loadHardware } from '../src/hardware/load.js';
import { crossbarNetwork } from '../src/hardware/network.js';
import { createSweep } from '../src/hardware/sweep.js';
import { buildNetwork } from '../src/model/networks.js';
import { hardwareJson } from '../src/report/hardwareJson.js';
import { hardwareReport } from '../src/report/hardwareReport.js';
import { hardwareTables } from '../src/report/hardwareTables.js';
import { publishedResults } from '../src/report/results.js';
import { benchArguments } from './arguments.js';

benchArguments('npm run bench:sweep', 0);
const network = crossbarNetwork(buildNetwork('resnet50', 1000), 224);
const hardware = loadHardware('nn-imc');
const decades = (from: number, to: number, count: number) =>
  Array.from({ length: count }, (_, i) => from * (to / from) ** (i / (count - 1)));
const sweep = createSweep(
  network,
  hardware,
  [
    { key: 'array.rows', values: [32, 48, 64, 72, 96, 128, 256] },
    { key: 'array.columns', values: [32, 48, 64, 72, 96, 128, 256] },
    { key: 'array.cellBits', values: [1, 2, 4] },
    { key: 'array.adcBits', values: [3, 4, 5, 6, 7, 8] },
    { key: 'policies.placement', values: ['arrays-per-digit', 'digits-side-by-side'] },
    { key: 'policies.gating', values: ['linear', 'by-component'] },
    { key: 'mask.shareOff', values: [0, 10, 20, 30, 40, 50] },
    { key: 'write.energyPerCell', values: decades(0.6, 80_000, 10) },
  ],
  { shareOff: 0.375, piggybackShareOff: 0.1221, meanLevelChange: 1, testImages: 5794 },
);

let sum = 0;
const run = (points: number) => {
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let point = 0; point < points; point++) {
    sum += sweep.totalsAt((point * 7919) % sweep.points).xbmTotalJoules;
  }
  const wall = points / ((performance.now() - start) / 1000);
  const { user, system } = process.cpuUsage(cpu);
  return { wall, cpu: points / ((user + system) / 1e6) };
};
run(20_000);
const rates = [1, 2, 3].map(() => run(200_000)).sort((a, b) => a.wall - b.wall);
const perSecond = (rate: number) => Math.round(rate).toLocaleString('en-US');
console.log(`${sweep.points.toLocaleString('en-US')} points in the space (checksum ${sum.toPrecision(6)})`);
console.log(
  `${perSecond(rates[1].wall)} ResNet-50 totals/s on one thread, ${perSecond(rates[1].cpu)} per second of CPU time (median of 3; target 100,000)`,
);

const times = Array.from({ length: 20 }, () => {
  const start = performance.now();
  const report = hardwareReport(network, hardware, publishedResults(network, 72));
  hardwareTables(report, true);
  JSON.stringify(hardwareJson(report));
  return performance.now() - start;
}).sort((a, b) => a - b);
console.log(`full report: ${times[10].toFixed(1)} ms of model time (median of 20; target 50)`);

/**
 * @file Published numbers. Sources: NN-IMC = github.com/mengjian0502/NN-IMC at 6e69878; S = XBM slides (ASP-DAC 2022);
 * XMA = the authors' sister paper (DAC 2022). All at ResNet-50, 224×224, 53 convolutions without the head.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chipArea } from '../../src/hardware/area.js';
import { imageEnergy } from '../../src/hardware/energy.js';
import { uniformActivity } from '../../src/hardware/gating.js';
import { loadHardware } from '../../src/hardware/load.js';
import { mapNetwork } from '../../src/hardware/mapping.js';
import { columnSegments, crossbarNetwork, layerWeights, mappedLayers } from '../../src/hardware/network.js';
import { publishedTasks } from '../../src/hardware/published.js';
import { ratesOf } from '../../src/hardware/rates.js';
import { rewriteBetween } from '../../src/hardware/reprogramming.js';
import { cellWritePicojoules } from '../../src/hardware/writes.js';
import { buildNetwork } from '../../src/model/networks.js';

const network = crossbarNetwork(buildNetwork('resnet50', 1000), 224);

function model(preset: string, ...overrides: string[]) {
  const hardware = loadHardware(preset, overrides);
  const rates = ratesOf(hardware);
  const mapping = mapNetwork(network, rates);
  const energy = (shareOff = 0) =>
    shareOff === 0
      ? imageEnergy(mapping, rates)
      : imageEnergy(
          mapping,
          rates,
          mapping.layers.map((layer) => uniformActivity(layer, rates, shareOff)),
        );
  return { hardware, rates, mapping, energy, area: chipArea(hardware, mapping) };
}

function near(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= tolerance,
    `${what}: ${actual}, expected ${expected} ± ${tolerance}`,
  );
}
const within = (actual: number, expected: number, what: string) =>
  near(actual, expected, Math.abs(expected) * 0.005, what);

test('the mapping: 53 convolutions, 23,454,912 weights, 339,968 column segments (S, A)', () => {
  const layers = mappedLayers(network, 'digital');
  assert.equal(layers.length, 53);
  assert.equal(
    layers.reduce((sum, layer) => sum + layerWeights(layer), 0),
    23_454_912,
  );
  assert.equal(
    layers.reduce((sum, layer) => sum + columnSegments(layer, 72), 0),
    339_968,
  );
});

test('arrays and activations per image by placement (NN-IMC; S)', () => {
  const digits = model('nn-imc').mapping;
  assert.equal(digits.arrays, 10_326);
  assert.equal(digits.activationsPerImage, 1_870_134);
  const sideBySide = model('nn-imc', 'policies.placement=digits-side-by-side').mapping;
  assert.equal(sideBySide.arrays, 9_978);
  assert.equal(sideBySide.activationsPerImage, 1_837_353);
});

test('energy per image without masks: 30.17 µJ = 23.92 + 6.04 + 0.133 + 0.077 (NN-IMC), within 0.5 %', () => {
  const { rows, picojoules } = model('nn-imc').energy();
  within(picojoules / 1e6, 30.17, 'total');
  const arrays = rows.switchMatrix + rows.adc + rows.shiftAddInput + rows.shiftAddWeight;
  within(arrays / 1e6, 23.92, 'arrays');
  within(rows.accumulation / 1e6, 6.04, 'adder trees');
  within(rows.buffer / 1e6, 0.133, 'buffer');
  within(rows.relu / 1e6, 0.077, 'ReLU');
  assert.equal(rows.maskBuffer, 0);
});

test('energy per image at 17.2 pJ per array: 38.42 µJ (S), within 0.5 %', () => {
  within(model('xbm-slides').energy().picojoules / 1e6, 38.42, 'total');
});

test('an adder tree of ceil(log2) stages: 1.86 instead of 6.04 µJ, within 0.5 %', () => {
  within(model('nn-imc', 'policies.adderTree=log2').energy().rows.accumulation / 1e6, 1.86, 'adder trees');
});

const golden: Record<
  string,
  { xbm: number; inference: number; piggyback: number; ratio: number; total: number }
> = {
  cubs: { xbm: 21.2, inference: 0.175, piggyback: 0.458, ratio: 3.62, total: 5.15 },
  cars: { xbm: 20.82, inference: 0.243, piggyback: 0.587, ratio: 3.42, total: 4.96 },
  flowers: { xbm: 22.54, inference: 0.186, piggyback: 0.168, ratio: 1.91, total: 2.55 },
  wikiart: { xbm: 20.56, inference: 0.321, piggyback: 1.143, ratio: 4.57, total: 6.7 },
  sketches: { xbm: 21.13, inference: 0.121, piggyback: 0.864, ratio: 8.16, total: 11.66 },
};

test('the five tasks with the authors’ shares (NN-IMC), within 0.5 %', () => {
  const { hardware, energy } = model('nn-imc');
  const ratios: number[] = [];
  const totals: number[] = [];
  for (const task of publishedTasks) {
    const expected = golden[task.name];
    const masked = energy(task.shareOff.xbm / 100).picojoules * 1e-12;
    const inference = energy().picojoules * 1e-12 * task.testImages;
    const piggyback = rewriteBetween(
      network,
      hardware,
      { kind: 'backbone' },
      { kind: 'masked-share', shareOff: task.shareOff.piggyback / 100 },
    ).joules;
    within(masked * 1e6, expected.xbm, `${task.name}: XBM µJ per image`);
    within(inference, expected.inference, `${task.name}: inference, J`);
    within(piggyback, expected.piggyback, `${task.name}: Piggyback reprogramming, J`);
    ratios.push((inference + piggyback) / inference);
    totals.push((inference + piggyback) / (masked * task.testImages));
    within(ratios.at(-1)!, expected.ratio, `${task.name}: total / inference`);
    within(totals.at(-1)!, expected.total, `${task.name}: Piggyback / XBM`);
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  near(mean(ratios), 4.34, 0.005, 'mean total / inference (XMA: "~4.3×")');
  near(mean(totals), 6.2, 0.005, 'mean Piggyback / XBM');
});

test('one level everywhere: fine-tuning costs 3.75 J (NN-IMC), within 0.5 %', () => {
  const { hardware } = model('nn-imc');
  const to = { kind: 'level-change', meanLevelChange: 1 } as const;
  within(rewriteBetween(network, hardware, { kind: 'backbone' }, to).joules, 3.75, 'fine-tuning, J');
});

test('write energy per cell of every preset, from its source', () => {
  // NN-IMC: 80 nJ; PipeLayer: 3.91 nJ; CiMLoop's NeuRRAM cell: 104 … 26 pJ (1.75 V, 8.52 µs); NVSim: 0.6 pJ
  near(cellWritePicojoules(loadHardware('nn-imc')), 80_000, 1e-6, 'nn-imc');
  near(cellWritePicojoules(loadHardware('xbm-slides')), 80_000, 1e-6, 'xbm-slides');
  near(cellWritePicojoules(loadHardware('nn-imc-pipelayer')), 3910, 1e-6, 'PipeLayer');
  within(cellWritePicojoules(loadHardware('nn-imc-neurram')), 104.4, 'NeuRRAM, low resistance');
  const low = loadHardware('nn-imc-neurram', ['policies.writeConductance=min']);
  within(cellWritePicojoules(low), 26.1, 'NeuRRAM, high resistance');
  near(cellWritePicojoules(loadHardware('nn-imc-nvsim')), 0.6, 1e-9, 'NVSim');
});

test('area per array: 11,380.2 µm² (S), within 1 µm²; arrays dominate the chip', () => {
  for (const preset of ['nn-imc', 'xbm-slides']) {
    const { area } = model(preset);
    near(area.arraySquareMicrometres, 11_380.2, 1, preset);
    // 10,326 arrays, one 8-stage adder block of 128 units (NN-IMC: 687,820 µm²), one ReLU block, the global buffer
    const chip = 10_326 * 11_380.63 + 687_820 + 939.5 + 8_490_034;
    near(area.squareMicrometres, chip, 1, `${preset}: chip`);
  }
});

test('a weight in one cell needs no shift-add over its digits: neither energy nor area', () => {
  const { energy, area } = model('nn-imc', 'array.cellBits=4');
  assert.equal(energy().rows.shiftAddWeight, 0);
  assert.equal(area.rows.shiftAddWeight, 0);
});

test('the global buffer is as wide as activations unless it is set', () => {
  const buffer = (...overrides: string[]) => model('nn-imc', ...overrides).energy().rows.buffer / 1e6;
  within(buffer(), 0.1334, 'NN-IMC: 4 bits');
  within(buffer('precision.activationBits=8'), 2 * 0.1334, '8 bits');
  within(buffer('precision.activationBits=8', 'precision.bufferBits=4'), 0.1334, 'set to 4 bits');
});

test('mask bits per activation: read by both arrays of a weight, or by the one that holds both digits', () => {
  const mask = (...overrides: string[]) => model('nn-imc', ...overrides).energy(0.375).rows.maskBuffer / 1e6;
  within(mask(), 339_968 * 0.003e-6, 'once per image');
  within(mask('policies.maskBuffer=per-activation'), 2 * 0.1818, 'arrays per digit');
  const sideBySide = 'policies.placement=digits-side-by-side';
  within(mask('policies.maskBuffer=per-activation', sideBySide), 0.1818, 'digits side by side');
});

test('the last stage of ResNet-50 holds 63 % of the mask bits and 19 % of the array energy', () => {
  const { mapping } = model('nn-imc');
  const last = mapping.layers.filter(({ layer }) => layer.name.startsWith('layer4.'));
  const bits = last.reduce((sum, { layer }) => sum + columnSegments(layer, 72), 0) / 339_968;
  const activations =
    last.reduce((sum, layer) => sum + layer.activationsPerImage, 0) / mapping.activationsPerImage;
  near(bits, 0.63, 0.005, 'share of mask bits');
  near(activations, 0.19, 0.005, 'share of array energy');
});

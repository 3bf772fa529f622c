import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import { crossbarNetwork } from '../../src/hardware/network.js';
import { buildNetwork } from '../../src/model/networks.js';
import { hardwareCharts } from '../../src/report/hardwareCharts.js';
import { hardwareReport } from '../../src/report/hardwareReport.js';
import { renderPng, renderSvg } from '../../src/report/render.js';
import { publishedResults } from '../../src/report/results.js';

const network = crossbarNetwork(buildNetwork('cifar-resnet20', 10), 32);

test('every chart renders to SVG with its labels and to a PNG', async () => {
  const report = hardwareReport(network, loadHardware('nn-imc'), publishedResults(network, 72));
  const charts = hardwareCharts(report);
  assert.deepEqual(
    charts.map(({ id }) => id),
    ['area', 'energy-per-layer', 'energy-per-image', 'reprogramming-and-inference', 'saving-by-write-energy'],
  );
  for (const { id, spec } of charts) {
    const svg = await renderSvg(spec);
    assert.match(svg, /^<svg /, id);
    assert.ok(!svg.includes('NaN') && !svg.includes('undefined'), `${id} draws something that is no number`);
    const label = { area: 'ADC: ', 'energy-per-layer': 'layer3.2.conv2' }[id] ?? 'sketches';
    assert.ok(svg.includes(label), `${id} lacks the label ${label}`);
    const png = await renderPng(svg);
    assert.deepEqual([...png.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47], id);
    assert.ok(png.length > 5000, `${id}: an empty picture`);
  }
});

test('the chart of reprogramming names the write energy, and is not drawn wider than it is filled', async () => {
  const all = publishedResults(network, 72);
  for (const tasks of [['cubs'], ['cubs', 'cars', 'flowers', 'wikiart', 'sketches']]) {
    const set = { ...all, results: all.results.filter(({ task }) => tasks.includes(task)) };
    const charts = hardwareCharts(hardwareReport(network, loadHardware('nn-imc'), set));
    const svg = await renderSvg(charts.find(({ id }) => id === 'reprogramming-and-inference')!.spec);
    assert.match(svg, /80 nJ per cell write \(/);
    const width = Number(/ width="(\d+)/.exec(svg)![1]);
    // Panels of `tasks` side by side, the axis to their left, and the padding.
    const panels = tasks.length * Math.max(90, Math.ceil(440 / tasks.length)) + 12 * (tasks.length - 1);
    assert.ok(width < panels + 110, `${tasks.length} tasks: ${width} pixels, panels ${panels}`);
  }
});

test('the same report draws the same bytes', async () => {
  const draw = () => {
    const set = publishedResults(network, 72);
    return renderSvg(hardwareCharts(hardwareReport(network, loadHardware('nn-imc'), set))[0].spec);
  };
  assert.equal(await draw(), await draw());
});

test('without tasks only the chip is drawn', () => {
  const none = { source: 'none', results: [], assumptions: [] };
  const charts = hardwareCharts(hardwareReport(network, loadHardware('nn-imc'), none));
  assert.deepEqual(
    charts.map(({ id }) => id),
    ['area', 'energy-per-layer'],
  );
});

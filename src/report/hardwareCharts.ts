/** @file The charts of the hardware report, as Vega-Lite specifications. */
import { ENERGY_ROWS } from '../hardware/energy.js';
import { totalJoules } from '../hardware/sensitivity.js';
import { writeEnergy } from './assumptions.js';
import { type Chart, METHOD_COLOURS, stackedPanels, taskAxis } from './chartParts.js';
import { type HardwareReport, methodsOf, rewritingMethods } from './hardwareReport.js';
import { AREA_ROW_NAMES, ENERGY_ROW_NAMES } from './rowNames.js';
import { profileOf } from './sensitivityTables.js';

/** Published write energies that the sensitivity chart names. */
const WRITE_MARKS = [
  { name: 'NVSim', picojoules: 0.6 },
  { name: 'NeuRRAM', picojoules: 104 },
  { name: 'PipeLayer', picojoules: 3910 },
  { name: 'NN-IMC', picojoules: 80_000 },
];

/** Every chart that the report has data for. */
export function hardwareCharts(report: HardwareReport): Chart[] {
  const charts = [areaPie(report), layerBars(report)];
  if (Object.keys(report.tasks).length === 0) return charts;
  charts.push(energyBars(report), totalBars(report));
  if (rewritingMethods(report).length > 0) charts.push(writeEnergyLines(report));
  return charts;
}

function methodScale(methods: readonly string[]) {
  return { domain: [...methods], range: methods.map((method) => METHOD_COLOURS[method]) };
}

function energyBars(report: HardwareReport): Chart {
  const tasks = Object.keys(report.tasks);
  const methods = ['no masks', ...methodsOf(report)];
  const values = Object.entries(report.tasks).flatMap(([task, { methods: costs }]) => [
    ...Object.values(costs)
      .slice(0, 1)
      .map((cost) => ({ task, method: 'no masks', energy: cost.withoutMasks.energyPerImageMicrojoules })),
    ...Object.entries(costs).map(([method, cost]) => ({
      task,
      method,
      energy: cost.energyPerImageMicrojoules,
    })),
  ]);
  return {
    id: 'energy-per-image',
    spec: {
      title: `Energy per image, ${report.network.network} on ${report.hardware.name}`,
      width: Math.max(320, 110 * tasks.length),
      height: 240,
      data: { values },
      mark: { type: 'bar' },
      encoding: {
        x: taskAxis(tasks),
        xOffset: { field: 'method', type: 'nominal', sort: methods },
        y: { field: 'energy', type: 'quantitative', title: 'energy per image (µJ)' },
        color: {
          field: 'method',
          type: 'nominal',
          sort: methods,
          title: null,
          scale: methodScale(methods),
          legend: { orient: 'top' },
        },
      },
    },
  };
}

/** Reprogramming and inference per data set, as in the slides. */
function totalBars(report: HardwareReport): Chart {
  const tasks = Object.keys(report.tasks);
  const parts = ['inference', 'reprogramming'];
  const values = Object.entries(report.tasks).flatMap(([task, { methods: costs }]) =>
    Object.entries(costs).flatMap(([method, cost]) => [
      { task, label: method, part: parts[0], order: 0, energy: cost.inferenceTestSetJoules },
      { task, label: method, part: parts[1], order: 1, energy: cost.reprogrammingJoules },
    ]),
  );
  return {
    id: 'reprogramming-and-inference',
    spec: stackedPanels(
      'One switch and the test set',
      [`${report.network.network} on ${report.hardware.name}`, writeEnergy(report)],
      'J',
      { tasks, labels: methodsOf(report), parts },
      values,
    ),
  };
}

/** Share of every component in the chip's area. */
export function areaPie(report: HardwareReport): Chart {
  const { area } = report;
  const values = Object.entries(area.rows)
    .map(([key, value]) => ({
      name: AREA_ROW_NAMES[key as keyof typeof AREA_ROW_NAMES],
      share: (100 * value) / area.squareMicrometres,
    }))
    .sort((a, b) => b.share - a.share)
    .map((slice, order) => ({
      ...slice,
      order,
      label: `${slice.name}: ${slice.share < 0.1 ? '< 0.1' : slice.share.toFixed(1)} %`,
    }));
  const labels = values.map(({ label }) => label);
  return {
    id: 'area',
    spec: {
      title: `Chip area ${(area.squareMicrometres / 1e6).toFixed(1)} mm²: ${report.mapping.arrays.toLocaleString('en-US')} arrays, ${report.hardware.name}`,
      width: 260,
      height: 260,
      data: { values },
      mark: { type: 'arc', outerRadius: 125, stroke: 'white', strokeWidth: 1 },
      encoding: {
        theta: { field: 'share', type: 'quantitative', stack: true },
        order: { field: 'order', type: 'quantitative' },
        color: {
          field: 'label',
          type: 'nominal',
          sort: labels,
          title: null,
          scale: { domain: labels },
          legend: { orient: 'right' },
        },
      },
    },
  };
}

function layerBars(report: HardwareReport): Chart {
  const layers = report.energy.layers.map((layer) => layer.name);
  const names = ENERGY_ROWS.filter((row) => report.energy.rows[row] > 0).map((row) => ENERGY_ROW_NAMES[row]);
  const values = report.energy.layers.flatMap((layer, index) =>
    ENERGY_ROWS.filter((row) => report.energy.rows[row] > 0).map((row, order) => ({
      layer: layer.name,
      index,
      order,
      component: ENERGY_ROW_NAMES[row],
      energy: layer.rows[row] * 1e-6,
    })),
  );
  return {
    id: 'energy-per-layer',
    spec: {
      title: `Energy per layer without masks, ${report.network.network} on ${report.hardware.name}`,
      width: Math.max(320, 15 * layers.length),
      height: 240,
      data: { values },
      mark: { type: 'bar' },
      encoding: {
        x: {
          field: 'layer',
          type: 'nominal',
          sort: layers,
          title: null,
          axis: { labelAngle: -90, labelFontSize: 9, labelOverlap: false, labelLimit: 160 },
        },
        y: { field: 'energy', type: 'quantitative', title: 'energy per image (µJ)' },
        color: {
          field: 'component',
          type: 'nominal',
          sort: names,
          title: null,
          scale: { domain: names },
          legend: { orient: 'top', columns: 4 },
        },
        order: { field: 'order', type: 'quantitative' },
      },
    },
  };
}

/** What XBM saves over the published range of write energies. */
function writeEnergyLines(report: HardwareReport): Chart {
  const steps = Array.from({ length: 61 }, (_, i) => 0.1 * 10 ** (i / 10));
  const others = rewritingMethods(report).filter((method) => method !== 'xbm');
  const values = Object.entries(report.tasks).flatMap(([task, { methods, testImages }]) =>
    others.flatMap((other) => {
      const [xbm, theirs] = [methods.xbm, methods[other]];
      if (!xbm || !theirs) return [];
      return steps.map((picojoules) => ({
        task,
        other: `against ${other}`,
        picojoules,
        saving:
          100 *
          (1 -
            totalJoules(profileOf(xbm), picojoules, testImages) /
              totalJoules(profileOf(theirs), picojoules, testImages)),
      }));
    }),
  );
  const tasks = Object.keys(report.tasks);
  return {
    id: 'saving-by-write-energy',
    spec: {
      title: 'Energy that XBM saves: one switch and the test set',
      width: 420,
      height: 260,
      layer: [
        {
          data: { values: WRITE_MARKS },
          mark: { type: 'rule', color: '#999999', strokeDash: [2, 3] },
          encoding: { x: { field: 'picojoules', type: 'quantitative' } },
        },
        {
          data: { values: WRITE_MARKS },
          mark: { type: 'text', color: '#555555', fontSize: 10, baseline: 'bottom', dy: -3 },
          encoding: {
            x: { field: 'picojoules', type: 'quantitative' },
            y: { value: 0 },
            text: { field: 'name', type: 'nominal' },
          },
        },
        {
          data: { values },
          mark: { type: 'line', strokeWidth: 1.8 },
          encoding: {
            x: {
              field: 'picojoules',
              type: 'quantitative',
              scale: { type: 'log', domain: [0.1, 1e5], nice: false },
              title: 'energy per cell write',
              axis: {
                values: [0.1, 1, 10, 100, 1000, 1e4, 1e5],
                labelOverlap: false,
                labelFlush: false,
                labelExpr: "datum.value < 1000 ? datum.value + ' pJ' : datum.value / 1000 + ' nJ'",
              },
            },
            y: {
              field: 'saving',
              type: 'quantitative',
              title: 'energy saved (%)',
              scale: { domain: [Math.min(0, ...values.map(({ saving }) => saving)), 100] },
            },
            color: { field: 'task', type: 'nominal', sort: tasks, title: 'task', scale: { domain: tasks } },
            strokeDash: {
              field: 'other',
              type: 'nominal',
              title: 'compared',
              sort: others.map((other) => `against ${other}`),
            },
          },
        },
      ],
    },
  };
}

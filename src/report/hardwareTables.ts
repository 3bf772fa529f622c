/** @file The tables of the hardware report, one per question. */
import type { MethodName } from '../adaption/method.js';
import type { ARRAY_AREA_ROWS } from '../hardware/area.js';
import { ENERGY_ROWS, type EnergyRows } from '../hardware/energy.js';
import { arraysOf } from '../hardware/mapping.js';
import { assumptionsTable, constantsTable, formatEnergy, policiesTable, writeSource } from './assumptions.js';
import { checkClaims } from './claims.js';
import { type HardwareReport, type MethodCosts, methodsOf, scaleRows } from './hardwareReport.js';
import { sensitivityTables } from './sensitivityTables.js';
import type { Cell, Table } from './table.js';

/** Names of the energy rows as printed. */
export const ENERGY_ROW_NAMES: Readonly<Record<keyof EnergyRows, string>> = {
  switchMatrix: 'switch matrix',
  adc: 'ADC',
  shiftAddInput: 'shift-add, input',
  shiftAddWeight: 'shift-add, weight',
  accumulation: 'accumulation (adder trees)',
  buffer: 'buffer',
  relu: 'ReLU',
  maskBuffer: 'mask buffer',
};

/** Names of the area rows as printed. */
export const AREA_ROW_NAMES: Readonly<Record<string, string>> = {
  memoryCells: 'memory cells',
  switchMatrix: 'switch matrix',
  adc: 'ADC',
  shiftAddInput: 'shift-add, input',
  shiftAddWeight: 'shift-add, weight',
  maskBuffer: 'mask buffer',
  adderTrees: 'adder trees',
  relu: 'ReLU',
  globalBuffer: 'global buffer',
};

/** All tables in printing order. @param perLayer adds the mapping of every layer */
export function hardwareTables(report: HardwareReport, perLayer = false): Table[] {
  const tables = [
    ...(Object.keys(report.tasks).length > 0 ? taskTables(report) : []),
    energyTable(report),
    areaTable(report),
    latencyTable(report),
    ...(Object.keys(report.tasks).length > 0 ? [memoryTable(report), ...sensitivityTables(report)] : []),
    claimsTable(report),
    policiesTable(report.hardware),
    assumptionsTable(report),
    constantsTable(report.hardware),
  ];
  return perLayer ? [...tables, layerTable(report)] : tables;
}

/** One row per task, one column per method. */
function byMethod(
  report: HardwareReport,
  table: Pick<Table, 'id' | 'title' | 'notes'>,
  value: (costs: MethodCosts) => number | null,
  mean = false,
): Table {
  const methods = methodsOf(report);
  const rows: Cell[][] = Object.entries(report.tasks).map(([task, { methods: costs }]) => [
    task,
    ...methods.map((method) => (costs[method] ? value(costs[method]) : null)),
  ]);
  if (mean && rows.length > 1) {
    const average = (column: number): Cell => {
      const values = rows.flatMap((row) => (typeof row[column] === 'number' ? [row[column]] : []));
      return values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : null;
    };
    rows.push(['mean', ...methods.map((_, i) => average(i + 1))]);
  }
  return { ...table, header: ['task', ...methods], rows };
}

function taskTables(report: HardwareReport): Table[] {
  const { hardware } = report;
  const none = report.energy.picojoules * 1e-6;
  const cell = `${formatEnergy(report.cellWritePicojoules)} per cell write (${writeSource(hardware)})`;
  return [
    byMethod(
      report,
      { id: 'accuracy', title: 'Accuracy, top-1 (%)', notes: [`Source: ${report.source}`] },
      (costs) => costs.accuracy,
    ),
    byMethod(
      report,
      {
        id: 'energy-per-image',
        title: 'Energy per image (µJ)',
        notes: [
          `Without masks: ${none.toPrecision(4)} µJ. Inference of one image, arrays and digital periphery, preset ${hardware.name}, gating ${hardware.policies.gating}.`,
        ],
      },
      (costs) => costs.energyPerImageMicrojoules,
    ),
    byMethod(
      report,
      {
        id: 'saving-per-image',
        title: 'Energy saved per image against no masks (%)',
        notes: [],
      },
      (costs) => 100 * (1 - costs.energyPerImageMicrojoules / none),
    ),
    shareTable(report),
    byMethod(
      report,
      {
        id: 'inference',
        title: 'Inference over the test set (J)',
        notes: [
          `Test images: ${Object.entries(report.tasks)
            .map(([task, { testImages }]) => `${task} ${testImages.toLocaleString('en-US')}`)
            .join(', ')}.`,
        ],
      },
      (costs) => costs.inferenceTestSetJoules,
    ),
    byMethod(
      report,
      {
        id: 'reprogramming',
        title: 'Reprogramming from the backbone to the task, once (J)',
        notes: [cell],
      },
      (costs) => costs.reprogrammingJoules,
    ),
    byMethod(
      report,
      { id: 'total', title: 'Total: reprogramming and inference over the test set (J)', notes: [cell] },
      (costs) => costs.totalJoules,
    ),
    byMethod(
      report,
      { id: 'ratio-to-xbm', title: 'Total relative to XBM’s total', notes: [] },
      (costs) => costs.ratioToXbm,
      true,
    ),
    byMethod(
      report,
      { id: 'ratio-to-inference', title: 'Total relative to inference alone', notes: [] },
      (costs) => costs.ratioToInference,
      true,
    ),
    ...switchTables(report),
    wearTable(report),
  ];
}

/** Real masks against the same share spread evenly. */
function shareTable(report: HardwareReport): Table {
  const rows: Cell[][] = [];
  let real = false;
  for (const [task, { methods }] of Object.entries(report.tasks)) {
    for (const [method, costs] of Object.entries(methods)) {
      if (costs.uniformShareEnergyPerImageMicrojoules === null) continue;
      const uniform = costs.uniformShareEnergyPerImageMicrojoules;
      const isReal = uniform !== costs.energyPerImageMicrojoules;
      real ||= isReal;
      rows.push([task, method, costs.shareOff, isReal ? costs.energyPerImageMicrojoules : null, uniform]);
    }
  }
  const note = real
    ? 'Late layers hold most mask bits but little of the array energy, so an average share misstates the saving.'
    : 'Only average shares are published; with trained runs the first energy column shows what the real masks cost.';
  return {
    id: 'uniform-share',
    title: 'Real masks and the same share spread evenly: energy per image (µJ)',
    header: ['task', 'method', 'columns off (%)', 'real masks', 'even share'],
    rows,
    notes: [note],
  };
}

function switchTables(report: HardwareReport): Table[] {
  return Object.entries(report.switching).flatMap(([method, { states, joules }]): Table[] => {
    if (joules.every((row) => row.every((value) => value === 0))) return [];
    return [
      {
        id: `switching-${method}`,
        title: `Switching between tasks with ${method} (J)`,
        header: ['from \\ to', ...states],
        rows: states.map((state, i) => [state, ...joules[i]]),
        notes: [`${formatEnergy(report.cellWritePicojoules)} per cell write.`],
      },
    ];
  });
}

function wearTable(report: HardwareReport): Table {
  const { write, policies } = report.hardware;
  const rows = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    Object.entries(methods).map(([method, costs]): Cell[] => [
      task,
      method,
      Math.round(costs.cellsWritten),
      costs.reprogrammingSeconds,
      costs.wear.switchesWorstCell ?? 'no limit',
      costs.wear.switchesAverageCell ?? 'no limit',
    ]),
  );
  return {
    id: 'wear',
    title: 'Reprogramming: cells, time, and task switches until cells wear out',
    header: ['task', 'method', 'cells written', 'time (s)', 'switches, worst cell', 'switches, average cell'],
    rows,
    notes: [
      `${write.parallelCells.value} cells at a time, ${write.pulses.value} pulses of ${write.pulseWidth.value.toLocaleString('en-US')} ns each; endurance ${write.endurance.value.toExponential()} ${policies.wear === 'pulse' ? 'pulses' : 'writes'} (${report.hardware.sources[write.endurance.source] ?? write.endurance.source}).`,
    ],
  };
}

/** Energy per image by component, with the total that the rows add up to. */
function energyTable(report: HardwareReport): Table {
  const columns: { name: string; rows: EnergyRows }[] = [
    { name: 'no masks', rows: scaleRows(report.energy.rows, 1e-6) },
  ];
  for (const [task, { methods }] of Object.entries(report.tasks)) {
    if (methods.xbm) columns.push({ name: `${task} xbm`, rows: methods.xbm.energyRowsMicrojoules });
  }
  const rows: Cell[][] = ENERGY_ROWS.map((row) => [
    ENERGY_ROW_NAMES[row],
    ...columns.map(({ rows }) => rows[row]),
  ]);
  rows.push([
    'total',
    ...columns.map((column) => ENERGY_ROWS.reduce((sum, row) => sum + column.rows[row], 0)),
  ]);
  return {
    id: 'energy-components',
    title: 'Energy per image by component (µJ)',
    header: ['component', ...columns.map(({ name }) => name)],
    rows,
    notes: [
      `${report.mapping.arrays.toLocaleString('en-US')} arrays, ${report.mapping.activationsPerImage.toLocaleString('en-US')} array activations per image, ${(100 * report.mapping.utilisation).toFixed(1)} % of the cells used.`,
    ],
  };
}

function areaTable(report: HardwareReport): Table {
  const { area } = report;
  const rows: Cell[][] = Object.entries(area.rows).map(([key, value]) => [
    AREA_ROW_NAMES[key],
    key in area.perArray ? area.perArray[key as (typeof ARRAY_AREA_ROWS)[number]] : null,
    value / 1e6,
    (100 * value) / area.squareMicrometres,
  ]);
  rows.push(['total', area.arraySquareMicrometres, area.squareMicrometres / 1e6, 100]);
  return {
    id: 'area',
    title: 'Area',
    header: ['component', 'per array (µm²)', 'chip (mm²)', 'share (%)'],
    rows,
    notes: [`${report.mapping.arrays.toLocaleString('en-US')} arrays hold the whole network.`],
  };
}

function latencyTable(report: HardwareReport): Table {
  const { latency, hardware } = report;
  return {
    id: 'latency',
    title: 'Latency',
    header: ['quantity', 'value'],
    rows: [
      ['cycle (ns)', latency.cycleNanoseconds],
      ['cycles per image', latency.cyclesPerImage],
      ['latency per image (ms)', latency.microsecondsPerImage / 1000],
      ['images/s', latency.imagesPerSecond],
    ],
    notes: [
      `Pipeline: ${hardware.policies.pipeline}. A cycle is one input bit of one output position. ${hardware.timing.crossbarRead.note ?? ''}`,
    ],
  };
}

function memoryTable(report: HardwareReport): Table {
  const rows = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    Object.entries(methods).map(([method, { memoryBytes: memory }]): Cell[] => [
      task,
      method,
      memory.masks,
      memory.weights,
      memory.batchNorm,
      memory.head,
      memory.total,
    ]),
  );
  return {
    id: 'memory',
    title: 'Memory per task (bytes)',
    header: ['task', 'method', 'masks', 'weights', 'batch norm', 'head', 'total'],
    rows,
    notes: ['Beside the frozen backbone, which all tasks share.'],
  };
}

function claimsTable(report: HardwareReport): Table {
  return {
    id: 'claims',
    title: 'Claims of the paper',
    header: ['claim', 'verdict', 'this model', 'source of the claim'],
    rows: checkClaims(report).map(({ claim, verdict, own, source }) => [claim, verdict, own, source]),
    notes: [],
  };
}

function layerTable(report: HardwareReport): Table {
  return {
    id: 'layers',
    title: 'Mapping and energy per layer, without masks',
    header: [
      'layer',
      'row segments',
      'arrays across',
      'arrays',
      'cells used (%)',
      'emptiest array (%)',
      'activations',
      'energy (µJ)',
      'latency (µs)',
    ],
    rows: report.mapping.layers.map((layer, i) => [
      layer.layer.name,
      layer.rowSegments,
      layer.columnArrays,
      layer.arrays,
      100 * layer.utilisation,
      100 * Math.min(...arraysOf(layer, report.rates).map(({ utilisation }) => utilisation)),
      layer.activationsPerImage,
      report.energy.layers[i].picojoules * 1e-6,
      report.latency.layers[i].microseconds,
    ]),
    notes: [],
  };
}

/** One row per task and method with every number: for spreadsheets. */
export function resultsTable(report: HardwareReport): Pick<Table, 'header' | 'rows'> {
  const header = [
    'task',
    'method',
    'preset',
    'source',
    'accuracyPercent',
    'shareOffPercent',
    'testImages',
    'energyPerImageMicrojoules',
    'inferenceTestSetJoules',
    'reprogrammingJoules',
    'reprogrammingSeconds',
    'totalJoules',
    'ratioToXbm',
    'ratioToInference',
    'cellsWritten',
    'cellWritePicojoules',
    'memoryBytes',
  ];
  const rows = Object.entries(report.tasks).flatMap(([task, { testImages, methods }]) =>
    (Object.entries(methods) as [MethodName, MethodCosts][]).map(([method, costs]): Cell[] => [
      task,
      method,
      report.hardware.name,
      costs.source,
      costs.accuracy,
      costs.shareOff,
      testImages,
      costs.energyPerImageMicrojoules,
      costs.inferenceTestSetJoules,
      costs.reprogrammingJoules,
      costs.reprogrammingSeconds,
      costs.totalJoules,
      costs.ratioToXbm,
      costs.ratioToInference,
      costs.cellsWritten,
      report.cellWritePicojoules,
      costs.memoryBytes.total,
    ]),
  );
  return { header, rows };
}

/** @file The report's tables about tasks and methods, one per question. */
import type { MethodName } from '../adaption/method.js';
import type { Policies } from '../hardware/description.js';
import { writeEnergy, writeSource } from './assumptions.js';
import { type HardwareReport, type MethodCosts, methodsOf, savedPercent } from './hardwareReport.js';
import type { Cell, Table } from './table.js';

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

/** Accuracy, energies, ratios, switching, wear. */
export function taskTables(report: HardwareReport): Table[] {
  const { hardware } = report;
  const cell = writeEnergy(report);
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
          `Without masks: ${withoutMasks(report)}. Inference of one image, arrays and digital periphery, preset ${hardware.name}, gating ${hardware.policies.gating}.`,
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
      savedPercent,
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
      { id: 'ratio-to-xbm', title: 'Total relative to XBM’s total', notes: [cell] },
      (costs) => costs.ratioToXbm,
      true,
    ),
    byMethod(
      report,
      { id: 'ratio-to-inference', title: 'Total relative to inference alone', notes: [cell] },
      (costs) => costs.ratioToInference,
      true,
    ),
    ...switchTables(report),
    wearTable(report),
  ];
}

/** "30.17 µJ", or one number per task where heads of different size are mapped. */
function withoutMasks(report: HardwareReport): string {
  const byTask = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    Object.values(methods)
      .slice(0, 1)
      .map((costs) => ({ task, text: `${costs.withoutMasks.energyPerImageMicrojoules.toPrecision(4)} µJ` })),
  );
  const same = byTask.every(({ text }) => text === byTask[0].text);
  return same ? byTask[0].text : byTask.map(({ task, text }) => `${task} ${text}`).join(', ');
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
        notes: [writeEnergy(report)],
      },
    ];
  });
}

const finetuneWrites: Readonly<Record<Policies['finetuneCells'], string>> = {
  'mean-level-change': 'Fine-tuning that moves a weight by n levels writes each of its cells n times',
  'changed-cells': 'A cell that fine-tuning changes is written once',
  'digit-distance': 'A cell that fine-tuning moves by n digit steps is written n times',
};

function wearTable(report: HardwareReport): Table {
  const { write, policies } = report.hardware;
  const rows = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    Object.entries(methods).map(([method, costs]): Cell[] => [
      task,
      method,
      Math.round(costs.cellsWritten),
      costs.reprogrammingSeconds,
      costs.wear.switchesWorstCell ?? (costs.cellWrites > 0 ? 'unknown' : 'no limit'),
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
      `${finetuneWrites[policies.finetuneCells]} (policies.finetuneCells=${policies.finetuneCells}). A cell that Piggyback changes is written once, however far it moves (NN-IMC)${policies.finetuneCells === 'changed-cells' ? '' : ', which favours Piggyback'}.`,
    ],
  };
}

/** What each task adds to memory. */
export function memoryTable(report: HardwareReport): Table {
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
    'cellWriteSource',
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
      costs.cellWritePicojoules,
      writeSource(report.hardware),
      costs.memoryBytes.total,
    ]),
  );
  return { header, rows };
}

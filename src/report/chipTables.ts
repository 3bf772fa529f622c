/** @file The report's tables about the chip: energy by component, area, latency, layers. */
import type { ARRAY_AREA_ROWS, AreaRows } from '../hardware/area.js';
import { ENERGY_ROWS, type EnergyRows } from '../hardware/energy.js';
import { arraysOf } from '../hardware/mapping.js';
import { type HardwareReport, scaleRows } from './hardwareReport.js';
import { AREA_ROW_NAMES, ENERGY_ROW_NAMES } from './rowNames.js';
import type { Cell, Table } from './table.js';

/** Energy per image by component, with the total that the rows add up to. */
export function energyTable(report: HardwareReport): Table {
  // A mapped head makes the energy without masks a task's own.
  const perTask = report.hardware.policies.head === 'mapped' && Object.keys(report.tasks).length > 0;
  const columns: { name: string; rows: EnergyRows }[] = perTask
    ? []
    : [{ name: 'no masks', rows: scaleRows(report.energy.rows, 1e-6) }];
  for (const [task, { methods }] of Object.entries(report.tasks)) {
    const [any] = Object.values(methods);
    if (perTask && any) {
      columns.push({ name: `${task} no masks`, rows: any.withoutMasks.energyRowsMicrojoules });
    }
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

export function areaTable(report: HardwareReport): Table {
  const { area } = report;
  const rows: Cell[][] = Object.entries(area.rows).map(([key, value]) => [
    AREA_ROW_NAMES[key as keyof AreaRows],
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

export function latencyTable(report: HardwareReport): Table {
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

export function layerTable(report: HardwareReport): Table {
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

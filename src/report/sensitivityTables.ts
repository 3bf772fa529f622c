/** @file How the comparison depends on the write energy, on how often tasks switch, and on accuracy. */
import type { MethodName } from '../adaption/method.js';
import {
  type EnergyProfile,
  imagesUntilShare,
  joulesPerPoint,
  publishedWriteEnergies,
  savingPercent,
  totalJoules,
  writeEnergyCitations,
} from '../hardware/sensitivity.js';
import { formatEnergy, writeEnergy } from './assumptions.js';
import { type HardwareReport, type MethodCosts, rewritingMethods } from './hardwareReport.js';
import type { Cell, Table } from './table.js';

/** The energy profile of one method on one task. */
export function profileOf(costs: MethodCosts): EnergyProfile {
  return { cellWrites: costs.cellWrites, imageJoules: costs.energyPerImageMicrojoules * 1e-6 };
}

/** Empty where nothing is rewritten. */
export function sensitivityTables(report: HardwareReport): Table[] {
  const rewriting = rewritingMethods(report);
  if (rewriting.length === 0) return [];
  const others = rewriting.filter((method) => method !== 'xbm');
  return [
    reprogrammingTable(report, rewriting),
    writeEnergyTable(report, others),
    switchingTable(report, others),
    accuracyTable(report, others),
  ].filter((table) => table !== null);
}

/** What reprogramming costs at other write energies. */
function reprogrammingTable(report: HardwareReport, rewriting: readonly MethodName[]): Table {
  const columns = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    rewriting.flatMap((method) => {
      const costs = methods[method];
      return costs ? [{ name: `${task} / ${method}`, profile: profileOf(costs) }] : [];
    }),
  );
  return {
    id: 'sensitivity-reprogramming',
    title: 'Reprogramming from the backbone to the task, once, by write energy (J)',
    header: ['per cell write', ...columns.map(({ name }) => name), 'source'],
    rows: publishedWriteEnergies.map(({ picojoules, source }): Cell[] => [
      formatEnergy(picojoules),
      ...columns.map(({ profile }) => totalJoules(profile, picojoules, 0)),
      source,
    ]),
    notes: [`Columns: task / method. This report: ${writeEnergy(report)}.`, ...writeEnergyCitations],
  };
}

function writeEnergyTable(report: HardwareReport, others: readonly MethodName[]): Table | null {
  const pairs = Object.entries(report.tasks).flatMap(([task, { methods, testImages }]) =>
    others.flatMap((other) =>
      methods.xbm && methods[other]
        ? [{ task, other, testImages, xbm: profileOf(methods.xbm), theirs: profileOf(methods[other]) }]
        : [],
    ),
  );
  if (pairs.length === 0) return null;
  const rows = publishedWriteEnergies.map(({ picojoules, source }): Cell[] => [
    formatEnergy(picojoules),
    ...pairs.map(({ xbm, theirs, testImages }) => savingPercent(xbm, theirs, picojoules, testImages)),
    source,
  ]);
  return {
    id: 'sensitivity-write-energy',
    title: 'Energy that XBM saves by write energy: one switch, then the test set (%)',
    header: ['per cell write', ...pairs.map(({ task, other }) => `${task} / ${other}`), 'source'],
    rows,
    notes: [
      'Columns: task / the method that XBM is compared with. Per cent of that method’s total.',
      ...writeEnergyCitations,
    ],
  };
}

function switchingTable(report: HardwareReport, others: readonly MethodName[]): Table | null {
  const rows = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    others.flatMap((other): Cell[][] => {
      const costs = methods[other];
      if (!costs) return [];
      const images = [50, 10, 1].map((percent) =>
        imagesUntilShare(profileOf(costs), report.cellWritePicojoules, percent),
      );
      const asymptote = methods.xbm
        ? costs.energyPerImageMicrojoules / methods.xbm.energyPerImageMicrojoules
        : null;
      return [[task, other, ...images, asymptote]];
    }),
  );
  if (rows.length === 0) return null;
  return {
    id: 'sensitivity-switching',
    title: 'Images between two switches until reprogramming is below a share of the method’s energy',
    header: ['task', 'method', 'below 50 %', 'below 10 %', 'below 1 %', 'inference alone / XBM'],
    rows,
    notes: [
      `${writeEnergy(report)}. The last column is what the ratio to XBM tends to when tasks hardly ever switch.`,
    ],
  };
}

function accuracyTable(report: HardwareReport, others: readonly MethodName[]): Table | null {
  const rows = Object.entries(report.tasks).flatMap(([task, { methods }]) =>
    others.flatMap((other): Cell[][] => {
      const [xbm, theirs] = [methods.xbm, methods[other]];
      if (!xbm || !theirs || xbm.accuracy === null || theirs.accuracy === null) return [];
      const saved = theirs.totalJoules - xbm.totalJoules;
      const perPoint = joulesPerPoint(
        { joules: xbm.totalJoules, accuracy: xbm.accuracy },
        { joules: theirs.totalJoules, accuracy: theirs.accuracy },
      );
      return [[task, other, theirs.accuracy - xbm.accuracy, saved, perPoint ?? 'no accuracy lost']];
    }),
  );
  if (rows.length === 0) return null;
  return {
    id: 'sensitivity-accuracy',
    title: 'Energy that XBM saves per accuracy point that it gives up',
    header: ['task', 'against', 'points given up', 'energy saved (J)', 'J per point'],
    rows,
    notes: [`One switch, then the test set; ${writeEnergy(report)}.`],
  };
}

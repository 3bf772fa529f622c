/** @file Run by run: results, curves, share off per layer, and what is missing. */
import { methodLabel, type RunGroup, runAnchor } from './groups.js';
import { type ResultTable, textColumn } from './resultTable.js';
import type { ExperimentReport } from './types.js';

export function runsTable(groups: readonly RunGroup[]): ResultTable {
  return {
    id: 'runs',
    title: 'Runs',
    columns: [
      textColumn('task'),
      textColumn('method'),
      textColumn('precision'),
      { key: 'seed', title: 'seed', kind: 'number', digits: 0 },
      { key: 'accuracyPercent', title: 'accuracy (%)', kind: 'number', digits: 2, measured: true },
      { key: 'shareOffPercent', title: 'share off (%)', kind: 'number', digits: 2, measured: true },
      { key: 'epochs', title: 'epochs', kind: 'number', digits: 0 },
      textColumn('configHash', 'config'),
      textColumn('engine'),
      textColumn('folder', 'run folder'),
    ],
    rows: groups.flatMap((group) =>
      group.runs.map(({ summary, folder }) => ({
        task: group.task,
        method: group.method,
        group: group.id,
        anchor: runAnchor(group, summary.seed),
        cells: [
          group.task,
          group.label,
          group.precision,
          summary.seed,
          summary.accuracy,
          summary.maskBits > 0 ? summary.shareOff : null,
          summary.epochs,
          summary.configHash.slice(0, 8),
          summary.engine,
          folder,
        ],
      })),
    ),
    notes: [],
  };
}

export function missingTable({ missing }: ExperimentReport): ResultTable | null {
  if (missing.length === 0) return null;
  return {
    id: 'missing',
    title: 'Planned runs without a result',
    columns: [
      textColumn('task'),
      textColumn('method'),
      { key: 'seed', title: 'seed', kind: 'number', digits: 0 },
      textColumn('reason'),
      textColumn('command'),
    ],
    rows: missing.map(({ task, method, variant, seed, reason, command }) => ({
      task,
      method,
      cells: [task, methodLabel(method, variant), seed, reason, command],
    })),
    notes: ['Nothing in this report stands for them.'],
  };
}

/** Every epoch of every run: for CSV. */
export function curvesTable(groups: readonly RunGroup[]): ResultTable {
  return {
    id: 'training-curves',
    title: 'Training curves',
    columns: [
      textColumn('task'),
      textColumn('method'),
      textColumn('precision'),
      { key: 'seed', title: 'seed', kind: 'number', digits: 0 },
      { key: 'epoch', title: 'epoch', kind: 'number', digits: 0 },
      { key: 'trainingLossNats', title: 'training loss (nats)', kind: 'number', digits: 4 },
      { key: 'trainingAccuracyPercent', title: 'training accuracy (%)', kind: 'number' },
      { key: 'shareOffPercent', title: 'share off (%)', kind: 'number' },
      { key: 'validationLossNats', title: 'validation loss (nats)', kind: 'number', digits: 4 },
      { key: 'validationAccuracyPercent', title: 'validation accuracy (%)', kind: 'number' },
    ],
    rows: groups.flatMap((group) =>
      group.runs.flatMap(({ curve, summary }) =>
        curve.map(({ epoch, loss, accuracy, shareOff, validation }) => ({
          cells: [
            group.task,
            group.label,
            group.precision,
            summary.seed,
            epoch,
            loss,
            accuracy,
            summary.maskBits > 0 ? shareOff : null,
            validation?.loss ?? null,
            validation?.accuracy ?? null,
          ],
        })),
      ),
    ),
    notes: [],
  };
}

/** Mask bits of every layer of every run: for CSV. */
export function layersTable(groups: readonly RunGroup[]): ResultTable {
  return {
    id: 'share-off-per-layer',
    title: 'Share off per layer',
    columns: [
      textColumn('task'),
      textColumn('method'),
      textColumn('precision'),
      { key: 'seed', title: 'seed', kind: 'number', digits: 0 },
      textColumn('layer'),
      { key: 'bits', title: 'bits', kind: 'number', digits: 0 },
      { key: 'bitsOff', title: 'off', kind: 'number', digits: 0 },
      { key: 'shareOffPercent', title: 'share off (%)', kind: 'number' },
    ],
    rows: groups.flatMap((group) =>
      group.runs.flatMap(({ layers, summary }) =>
        layers.map(({ name, bits, off }) => ({
          cells: [
            group.task,
            group.label,
            group.precision,
            summary.seed,
            name,
            bits,
            off,
            bits > 0 ? (100 * off) / bits : null,
          ],
        })),
      ),
    ),
    notes: [],
  };
}

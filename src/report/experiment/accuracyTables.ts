/** @file Accuracy and share off next to the published ones. */
import { publishedSources, publishedTasks } from '../../hardware/published.js';
import type { RunGroup } from './groups.js';
import { groupColumns, groupRow } from './groupTable.js';
import { publishedFor } from './published.js';
import { type ResultTable, textColumn } from './resultTable.js';
import { type Spread, spreadOf } from './statistics.js';

const SPREAD_NOTE = 'Mean ± sample standard deviation over seeds; a single seed has none.';

/** Of the test split after the last epoch. */
export function accuracyOf(group: RunGroup): Spread {
  return spreadOf(group.runs.map(({ summary }) => summary.accuracy))!;
}

/** Of the mask bits; null without masks. */
export function shareOffOf(group: RunGroup): Spread | null {
  return spreadOf(group.runs.flatMap(({ summary }) => (summary.maskBits > 0 ? [summary.shareOff] : [])));
}

export function accuracyTable(groups: readonly RunGroup[]): ResultTable {
  const validated = groups.some(({ runs }) => runs.some(({ summary }) => summary.bestValidation !== null));
  const rows = groups.map((group) => {
    const own = accuracyOf(group);
    const published = publishedFor(group);
    const best = spreadOf(group.runs.flatMap(({ summary }) => summary.bestValidation?.accuracy ?? []));
    return groupRow(group, [
      own,
      group.runs.length,
      published.accuracy,
      comparable(published.accuracy, published.unlike, own.mean),
      ...(validated ? [best] : []),
    ]);
  });
  return {
    id: 'accuracy',
    title: 'Accuracy on the test images, top-1',
    columns: [
      ...groupColumns,
      { key: 'accuracyPercent', title: 'accuracy (%)', kind: 'spread', digits: 2, measured: true },
      { key: 'seeds', title: 'seeds', kind: 'number', digits: 0 },
      { key: 'publishedAccuracyPercent', title: 'published (%)', kind: 'number', digits: 2 },
      { key: 'differencePoints', title: 'difference (points)', kind: 'number', digits: 2, signed: true },
      ...(validated
        ? [
            {
              key: 'bestValidationAccuracyPercent',
              title: 'best on validation (%)',
              kind: 'spread',
              digits: 2,
              measured: true,
            } as const,
          ]
        : []),
    ],
    rows,
    notes: [
      `After the last epoch. ${SPREAD_NOTE}`,
      ...sources(groups, (group) => publishedFor(group).accuracy),
      ...unlikeNotes(groups, (published) => published.accuracy),
    ],
  };
}

export function shareOffTable(groups: readonly RunGroup[]): ResultTable | null {
  const masked = groups.filter(({ runs }) => runs[0].summary.maskBits > 0);
  if (masked.length === 0) return null;
  const rows = masked.map((group) => {
    const own = shareOffOf(group)!;
    const published = publishedFor(group);
    const { granularity, rows } = group.runs[0].summary;
    return groupRow(group, [
      rows === null ? `per ${granularity}` : `per ${granularity} of ${rows} rows`,
      own,
      published.shareOff,
      comparable(published.shareOff, published.unlike, own.mean),
    ]);
  });
  return {
    id: 'share-off',
    title: 'Mask bits switched off',
    columns: [
      ...groupColumns,
      textColumn('granularity', 'one bit'),
      { key: 'shareOffPercent', title: 'share off (%)', kind: 'spread', digits: 2, measured: true },
      { key: 'publishedShareOffPercent', title: 'authors’ own (%)', kind: 'number', digits: 2 },
      { key: 'differencePoints', title: 'difference (points)', kind: 'number', digits: 2, signed: true },
    ],
    rows,
    notes: [
      SPREAD_NOTE,
      ...(masked.some((group) => publishedFor(group).shareOff !== null)
        ? [`Authors’ own: ${publishedSources.shareOff}.`]
        : []),
      ...unlikeNotes(masked, (published) => published.shareOff),
    ],
  };
}

/** No difference between numbers of unlike experiments. */
function comparable(published: number | null, unlike: readonly string[], own: number): number | null {
  return published === null || unlike.length > 0 ? null : own - published;
}

function sources(groups: readonly RunGroup[], value: (group: RunGroup) => number | null): string[] {
  const known = groups.filter((group) => value(group) !== null);
  const full = known.some(({ precision }) => precision === 'full precision');
  const four = known.some(({ precision }) => precision !== 'full precision');
  return [
    ...(four ? [`Published, 4-bit: ${publishedSources.accuracy}.`] : []),
    ...(full ? [`Published, full precision: ${publishedSources.fullPrecisionAccuracy}.`] : []),
  ];
}

/** Says of each task why its difference is left out. */
function unlikeNotes(
  groups: readonly RunGroup[],
  value: (published: ReturnType<typeof publishedFor>) => number | null,
): string[] {
  const found = new Set<string>();
  for (const group of groups) {
    const published = publishedFor(group);
    if (value(published) === null || published.unlike.length === 0) continue;
    found.add(`${group.task}: ${published.unlike.join('; ')}`);
  }
  return [...found].map((text) => `Not the published experiment, so no difference: ${text}.`);
}

/** Every published number of these data sets, whether it was run or not. */
export function publishedTable(dataSets: readonly string[]): ResultTable | null {
  const listed = [...new Set(dataSets)].flatMap((task) => publishedTasks.filter(({ name }) => name === task));
  if (listed.length === 0) return null;
  const column = (key: string, title: string) => ({ key, title, kind: 'number', digits: 2 }) as const;
  return {
    id: 'published',
    title: 'Published numbers (%)',
    columns: [
      textColumn('task'),
      column('finetuneAccuracyPercent', 'finetune, 4-bit'),
      column('piggybackAccuracyPercent', 'piggyback, 4-bit'),
      column('xbmAccuracyPercent', 'xbm, 4-bit'),
      column('finetuneFullPrecisionAccuracyPercent', 'finetune, full precision'),
      column('piggybackFullPrecisionAccuracyPercent', 'piggyback, full precision'),
      column('piggybackShareOffPercent', 'piggyback weights off'),
      column('xbmShareOffPercent', 'xbm columns off'),
    ],
    rows: listed.map(({ name, accuracy, fullPrecisionAccuracy, shareOff }) => ({
      task: name,
      cells: [
        name,
        accuracy.finetune,
        accuracy.piggyback,
        accuracy.xbm,
        fullPrecisionAccuracy.finetune,
        fullPrecisionAccuracy.piggyback,
        shareOff.piggyback,
        shareOff.xbm,
      ],
    })),
    notes: [
      `Accuracy, 4-bit: ${publishedSources.accuracy}.`,
      `Accuracy, full precision: ${publishedSources.fullPrecisionAccuracy}.`,
      `Shares off: ${publishedSources.shareOff}.`,
    ],
  };
}

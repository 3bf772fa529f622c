import type { Experiment } from '../config/schema.js';
import { type VerifyReport, verifyDataSet } from '../data/index.js';
import type { DataSet } from '../data/types.js';
import { ExitCode, UserError } from '../errors.js';
import type { Io } from './io.js';
import { withProgress } from './progress.js';
import { formatTable } from './table.js';

/** Items of each kind that are printed; --json has all. */
const SHOWN = 20;

/**
 * Verifies a data set and prints the report.
 * @throws UserError (exit code 4) when something is wrong
 */
export async function verifyData(
  io: Io,
  experiment: Experiment,
  dataSet: DataSet,
  options: { readonly subset?: boolean; readonly workers?: number; readonly json?: boolean },
): Promise<void> {
  const { task, data } = experiment;
  const total = dataSet.train.length + dataSet.validation.length + dataSet.test.length;
  const report = await withProgress(io, { label: `${task}: verifying`, total, unit: 'images' }, (progress) =>
    verifyDataSet(dataSet, {
      edition: data.edition,
      subset: options.subset === true,
      onProgress: (done) => progress.update(done),
      ...(options.workers !== undefined && { workers: options.workers }),
      ...(io.signal && { signal: io.signal }),
    }),
  );
  if (options.json) io.stdout(`${JSON.stringify({ task, root: dataSet.root, ...report })}\n`);
  else io.stdout(formatReport(dataSet, report));
  if (!report.ok) throw new UserError(`${task}: ${summarize(report)}`, undefined, ExitCode.failed);
}

function formatReport({ task, root }: DataSet, report: VerifyReport): string {
  const { counts } = report;
  const { train, test, classes, published } = counts;
  const range = (values: readonly number[]) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return low === high ? `${low}` : `${low}–${high}`;
  };
  const expected = (key: 'train' | 'test' | 'classes') => published?.[key] ?? null;
  const rows = [
    ['classes', classes.length, expected('classes'), null],
    ['train', train, expected('train'), range(classes.map((entry) => entry.train))],
    ['test', test, expected('test'), range(classes.map((entry) => entry.test))],
  ];
  const edition = published
    ? `, compared with edition ${published.edition}`
    : ', no published counts to compare with';
  return [
    `${task} in ${root}${edition}\n\n`,
    formatTable(['', 'found', 'published', 'per class'], rows),
    '\n',
    list('counts that differ', counts.differences),
    list('missing files', report.missing),
    list(
      'damaged files',
      report.corrupt.map(({ reason }) => reason),
    ),
    list(
      'train images that occur in test',
      report.overlaps.map((pair) => `${pair.train} = ${pair.test}${pair.known ? ' (as published)' : ''}`),
    ),
    list(
      'duplicates within a split (no failure)',
      report.duplicates.map((paths) => paths.join(' = ')),
    ),
    list(
      'other files by extension (not read, no failure)',
      Object.entries(report.skipped).map(([extension, count]) => `${count} ${extension}`),
    ),
  ].join('');
}

function list(title: string, items: readonly string[]): string {
  if (items.length === 0) return `${title}: none\n`;
  const shown = items.slice(0, SHOWN).map((item) => `  ${item}\n`);
  const rest = items.length > SHOWN ? `  … and ${items.length - SHOWN} more; --json lists all\n` : '';
  return `${title}: ${items.length}\n${shown.join('')}${rest}`;
}

function summarize({ counts, missing, corrupt, overlaps }: VerifyReport): string {
  const parts = [
    [counts.differences.length, 'counts differ from what is expected'],
    [missing.length, 'files are missing'],
    [corrupt.length, 'files are damaged'],
    [overlaps.filter((pair) => !pair.known).length, 'train images occur in test'],
  ] as const;
  return parts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}`)
    .join(', ');
}

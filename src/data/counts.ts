/** @file Counts of a data set against the published ones. */
import { UserError } from '../errors.js';
import { type PublishedCounts, protocols } from './protocol.js';
import type { DataSet, Sample } from './types.js';

export interface ClassCounts {
  readonly name: string;
  /** Of the official train split: validation included. */
  readonly train: number;
  readonly test: number;
}

export interface CountReport {
  readonly train: number;
  readonly test: number;
  readonly classes: readonly ClassCounts[];
  /** The published edition that was compared with; null where there is none. */
  readonly published: PublishedCounts | null;
  /** What differs from it, one sentence each. */
  readonly differences: readonly string[];
}

export interface CountOptions {
  /** Compare with this edition; null: the one that fits best. */
  readonly edition: string | null;
  /** The data are some classes of the published set: only the counts per class are compared. */
  readonly subset: boolean;
}

/** Counts images per split and class and compares them with the published counts of the edition. */
export function compareCounts(dataSet: DataSet, { edition, subset }: CountOptions): CountReport {
  const classes = countClasses(dataSet);
  const found = {
    train: dataSet.train.length + dataSet.validation.length,
    test: dataSet.test.length,
    classes,
  };
  const published = closest(dataSet, found, edition);
  const differences = lackingImages(classes);
  if (published) differences.push(...compare(found, published, subset));
  return { ...found, published, differences };
}

/** @throws UserError when a class has no train or no test images: it could not be learnt, or not be measured */
export function requireImagesPerClass(dataSet: DataSet): void {
  const lacking = lackingImages(countClasses(dataSet));
  if (lacking.length === 0) return;
  const more = lacking.length > 5 ? `, and ${lacking.length - 5} more` : '';
  throw new UserError(
    `${dataSet.root}: ${lacking.slice(0, 5).join(', ')}${more}`,
    'Give it images in a format that xbm reads (datasets.md), or remove its folder; `xbm data verify` counts what is skipped.',
  );
}

function lackingImages(classes: readonly ClassCounts[]): string[] {
  return classes.flatMap(({ name, train, test }) => {
    if (train > 0 && test > 0) return [];
    const which = train + test === 0 ? '' : train === 0 ? 'train ' : 'test ';
    return [`class ${name} has no ${which}images`];
  });
}

function countClasses({ train, validation, test, classes }: DataSet): ClassCounts[] {
  const count = (samples: readonly Sample[]) => {
    const counts = new Int32Array(classes.length);
    for (const { label } of samples) counts[label]++;
    return counts;
  };
  const [trainCounts, testCounts] = [count([...train, ...validation]), count(test)];
  return classes.map((name, i) => ({ name, train: trainCounts[i], test: testCounts[i] }));
}

type Found = Pick<CountReport, 'train' | 'test' | 'classes'>;

/** The published edition whose split sizes are nearest. */
function closest({ task }: DataSet, found: Found, edition: string | null): PublishedCounts | null {
  const candidates = protocols[task].published.filter(
    (counts) => edition === null || counts.edition === edition,
  );
  const distance = ({ train, test }: PublishedCounts) =>
    Math.abs(train - found.train) + Math.abs(test - found.test);
  return candidates.reduce<PublishedCounts | null>(
    (best, other) => (best === null || distance(other) < distance(best) ? other : best),
    null,
  );
}

function compare(found: Found, published: PublishedCounts, subset: boolean): string[] {
  const differences: string[] = [];
  const check = (what: string, got: number, expected: number | undefined) => {
    if (expected !== undefined && got !== expected) differences.push(`${got} ${what}, published ${expected}`);
  };
  if (!subset) {
    check('classes', found.classes.length, published.classes);
    check('train images', found.train, published.train);
    check('test images', found.test, published.test);
  }
  for (const { name, train, test } of found.classes) {
    check(`train images in class ${name}`, train, published.trainPerClass);
    check(`test images in class ${name}`, test, published.testPerClass);
  }
  return differences;
}

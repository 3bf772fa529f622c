/** @file Counts of a data set against the published ones. */
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
  const trainSamples = [...dataSet.train, ...dataSet.validation];
  const perClass = (samples: readonly Sample[]) => {
    const counts = new Int32Array(dataSet.classes.length);
    for (const { label } of samples) counts[label]++;
    return counts;
  };
  const [trainCounts, testCounts] = [perClass(trainSamples), perClass(dataSet.test)];
  const classes = dataSet.classes.map((name, i) => ({ name, train: trainCounts[i], test: testCounts[i] }));
  const found = { train: trainSamples.length, test: dataSet.test.length, classes };
  const published = closest(dataSet, found, edition);
  const differences = classes.flatMap(({ name, train, test }) => [
    ...(train === 0 ? [`class ${name} has no train images`] : []),
    ...(test === 0 ? [`class ${name} has no test images`] : []),
  ]);
  if (published) differences.push(...compare(found, published, subset));
  return { ...found, published, differences };
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

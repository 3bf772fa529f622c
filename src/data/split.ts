/** @file The split rules for data without an official split, and the validation share. */
import { hash32, hashString, permutation } from '../random.js';
import { compareNames } from './files.js';
import type { Sample } from './types.js';

const VALIDATION = hashString('validation');

/**
 * The split rule for a class without an official one: names ordered by a hash of `class/name`, the first
 * `trainPercent` per cent train, the rest test. It does not depend on a seed, so all runs share one test set.
 */
export function splitByHash(
  className: string,
  names: readonly string[],
  trainPercent: number,
): { train: string[]; test: string[] } {
  const keyed = names.map((name) => ({ name, key: hash32(hashString(`${className}/${name}`)) }));
  keyed.sort((a, b) => a.key - b.key || compareNames(a.name, b.name));
  const trained = new Set(keyed.slice(0, shareOf(names.length, trainPercent)).map((entry) => entry.name));
  return {
    train: names.filter((name) => trained.has(name)),
    test: names.filter((name) => !trained.has(name)),
  };
}

/** A share of n, rounded, which leaves at least one on either side where n allows it. */
function shareOf(n: number, percent: number): number {
  const share = Math.round((n * percent) / 100);
  return n < 2 ? share : Math.min(n - 1, Math.max(1, share));
}

/** Holds `percent` per cent of each class out of the train split, a function of the seed; both parts keep their order. */
export function holdOut(
  samples: readonly Sample[],
  percent: number,
  seed: number,
): { train: readonly Sample[]; validation: readonly Sample[] } {
  if (percent === 0) return { train: samples, validation: [] };
  const held = new Set<number>();
  for (const [label, members] of membersByLabel(samples)) {
    if (members.length < 2) continue;
    const order = permutation(members.length, seed, VALIDATION, label);
    for (let i = 0; i < shareOf(members.length, percent); i++) held.add(members[order[i]]);
  }
  return {
    train: samples.filter((_, i) => !held.has(i)),
    validation: samples.filter((_, i) => held.has(i)),
  };
}

function membersByLabel(samples: readonly Sample[]): Map<number, number[]> {
  const members = new Map<number, number[]>();
  samples.forEach((sample, i) => {
    const list = members.get(sample.label);
    if (list) list.push(i);
    else members.set(sample.label, [i]);
  });
  return members;
}

import { hashedContent } from './hash.js';
import { isMapping } from './layer.js';
import type { Experiment } from './schema.js';

/** The keys that give two experiments different config hashes, with both values: `method.name: "xbm", now "finetune"`. */
export function differingKeys(before: Experiment, now: Experiment): string[] {
  return differences(hashedContent(before), hashedContent(now), '');
}

function differences(before: unknown, now: unknown, path: string): string[] {
  if (isMapping(before) && isMapping(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return keys.flatMap((key) => differences(before[key], now[key], path ? `${path}.${key}` : key));
  }
  const [one, other] = [before, now].map((value) => JSON.stringify(value) ?? 'absent');
  return one === other ? [] : [`${path}: ${one}, now ${other}`];
}

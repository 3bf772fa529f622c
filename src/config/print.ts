import { Document, isMap, isScalar } from 'yaml';
import { describeKeys } from './describe.js';
import { shortHash } from './hash.js';
import type { Experiment } from './schema.js';

/** What null stands for once the method's own defaults are filled in. */
const resolvedNulls: Readonly<Record<string, string>> = {
  'method.granularity': 'no masks',
  'method.binarizer': 'no masks',
};

export interface PrintOptions {
  /** Comments say what every key means. */
  readonly explained?: boolean;
}

/** Whether {@link experimentToYaml} wrote it. */
export function isPrintedExperiment(text: string): boolean {
  return /^# config hash [0-9a-f]{8}\r?\n/.test(text);
}

/** A resolved experiment as YAML that loads to the same experiment; comments say what each null stands for. */
export function experimentToYaml(experiment: Experiment, { explained = false }: PrintOptions = {}): string {
  const document = new Document(experiment);
  document.commentBefore = ` config hash ${shortHash(experiment)}`;
  for (const { key, about, whenNull } of describeKeys()) {
    const node = document.getIn(key.split('.'), true);
    if (!isScalar(node)) continue;
    const meaning = node.value === null ? (resolvedNulls[key] ?? whenNull) : undefined;
    const comments = [meaning?.replace('<task>', experiment.task), explained ? about : undefined];
    const comment = comments.filter((text) => text !== undefined).join('; ');
    if (comment !== '') node.comment = ` ${comment}`;
  }
  if (isMap(document.contents)) document.contents.spaceBefore = true;
  return document.toString({ lineWidth: 0 });
}

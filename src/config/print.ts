import { Document, isMap, isScalar } from 'yaml';
import { shortHash } from './hash.js';
import type { Experiment } from './schema.js';

/** What a null stands for, by key. */
function nullComments(experiment: Experiment): Readonly<Record<string, string>> {
  return {
    name: `the task's name`,
    'data.root': `$XBM_DATA/${experiment.task}`,
    'data.edition': 'as found in the data',
    'data.crop': `the task's protocol`,
    'data.augmentation': `the task's protocol`,
    'data.cache': '$XBM_HOME/cache',
    'data.workers': 'one per core, at most 8',
    'method.granularity': 'no masks',
    'method.binarizer': 'no masks',
  };
}

/** A resolved experiment as YAML that loads to the same experiment; comments say what each null stands for. */
export function experimentToYaml(experiment: Experiment): string {
  const document = new Document(experiment);
  document.commentBefore = ` config hash ${shortHash(experiment)}`;
  for (const [path, comment] of Object.entries(nullComments(experiment))) {
    const node = document.getIn(path.split('.'), true);
    if (isScalar(node) && node.value === null) node.comment = ` ${comment}`;
  }
  if (isMap(document.contents)) document.contents.spaceBefore = true;
  return document.toString({ lineWidth: 0 });
}

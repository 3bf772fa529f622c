/** @file Replaces the nulls that stand for a method's own defaults, and finds settings that contradict each other. */
import type { Problem } from './problems.js';
import type { Experiment } from './schema.js';

type Method = Experiment['method'];

function hasMasks(method: Method): boolean {
  return method.name === 'xbm' || method.name === 'piggyback';
}

/**
 * An experiment with the method's own granularity, binariser and batch-norm training filled in: xbm column and
 * sigmoid, piggyback element and identity, no masks for finetune and classifier; batch norm trained by all but
 * classifier (XBM's comparison was at 4 bits, where Piggyback's frozen batch norm would not be on equal terms).
 */
export function resolveMethod(experiment: Experiment): Experiment {
  const { method } = experiment;
  const xbm = method.name === 'xbm';
  return {
    ...experiment,
    method: {
      ...method,
      granularity: method.granularity ?? (hasMasks(method) ? (xbm ? 'column' : 'element') : null),
      binarizer: method.binarizer ?? (hasMasks(method) ? (xbm ? 'sigmoid' : 'identity') : null),
      trainBatchNorm: method.trainBatchNorm ?? method.name !== 'classifier',
    },
  };
}

/** Tasks whose official files have bounding boxes. */
const tasksWithBoxes: readonly string[] = ['cubs', 'cars'];

/** Settings of a resolved experiment that cannot go together; empty when all is well. */
export function contradictions(experiment: Experiment): Problem[] {
  const problems: Problem[] = [];
  const complain = (path: string, message: string): void => {
    problems.push({ path: path.split('.'), message });
  };
  const { task, data, method } = experiment;
  if (!hasMasks(method)) {
    const reason = `${method.name} has no masks; remove it, or use method.name xbm or piggyback`;
    if (method.granularity !== null) complain('method.granularity', reason);
    if (method.binarizer !== null) complain('method.binarizer', reason);
    if (method.noise) complain('method.noise', reason);
  } else {
    if (method.noise && method.binarizer === 'identity') {
      complain(
        'method.noise',
        'noise goes into the sigmoid, but method.binarizer is identity; set one of them',
      );
    }
    if (method.initialScore <= method.threshold) {
      complain(
        'method.initialScore',
        `expected more than method.threshold (${method.threshold}), found ${method.initialScore}: every bit would start off`,
      );
    }
  }
  if (data.edition !== null && task !== 'cubs') complain('data.edition', `task ${task} has no editions`);
  if (data.crop && !tasksWithBoxes.includes(task))
    complain('data.crop', `task ${task} has no bounding boxes`);
  if (data.crop && task === 'cubs' && data.edition === '2010') {
    complain('data.crop', 'the 2010 edition of CUBS has no bounding boxes here; set data.crop to false');
  }
  return problems;
}

/** Keys that an experiment does not read, whatever their values, and why. */
export function idleKeys(experiment: Experiment): ReadonlyMap<string, string> {
  const { task, method, training } = resolveMethod(experiment);
  const idle = new Map<string, string>();
  const add = (unread: boolean, why: string, ...keys: string[]): void => {
    if (unread) for (const key of keys) if (!idle.has(key)) idle.set(key, why);
  };
  const { granularity, binarizer, trainBatchNorm } = method;
  add(
    !hasMasks(method),
    `method ${method.name} has no masks`,
    ...['rows', 'threshold', 'slope', 'initialScore'].map((key) => `method.${key}`),
    'training.learningRate.masks',
  );
  add(granularity !== 'column', `mask bits of granularity ${granularity} have no rows`, 'method.rows');
  add(binarizer === 'identity', 'binarizer identity has no slope', 'method.slope');
  add(method.name !== 'finetune', `method ${method.name} trains no weights`, 'training.learningRate.weights');
  add(!trainBatchNorm, 'batch norm is not trained', 'training.learningRate.batchNorm');
  add(training.optimizer !== 'sgd', `optimizer ${training.optimizer} has none`, 'training.momentum');
  add(
    training.schedule !== 'step',
    `schedule ${training.schedule} has no drops`,
    'training.stepEpochs',
    'training.stepFactor',
  );
  add(task !== 'folder', `task ${task} has a split of its own`, 'data.trainPercent');
  return idle;
}

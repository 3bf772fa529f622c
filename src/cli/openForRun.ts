import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import type { EngineName } from '../engines/engine.js';
import type { Backbone } from '../model/backbone.js';
import type { RunInputs } from '../runs/executeRun.js';
import type { Io } from './io.js';
import { lazyProgress } from './lazyProgress.js';

export interface OpenForRunOptions {
  /** The engine of a checkpoint; the experiment's when left out. */
  readonly engine?: EngineName;
  /** The frozen backbone; the experiment's when left out. */
  readonly backbone?: (dataSet: DataSet) => Backbone;
}

/** Opens all that a run needs, cheap checks first, and says on stderr which engine does the work and why. */
export async function openForRun(
  experiment: Experiment,
  options: OpenForRunOptions,
  io: Io,
): Promise<RunInputs> {
  const { openExperimentData, openExperimentEngine, openLoaders, runInputs } = await import(
    '../runs/openExperiment.js'
  );
  const { openBackbone } = await import('../runs/openBackbone.js');
  const dataSet = await openExperimentData(experiment, io.env);
  const backbone = options.backbone?.(dataSet) ?? (await openBackbone(experiment.backbone));
  const { engine, why } = await openExperimentEngine(experiment, options.engine);
  const reason = options.engine ? 'the checkpoint was made with it' : why;
  io.stderr(`engine ${engine.name}: ${engine.device} (${reason})\n`);
  const { train, validation, test } = dataSet;
  const before = { train: 0, validation: train.length, test: train.length + validation.length };
  const total = before.test + test.length;
  const decoding = lazyProgress(io, 'decoding images', 'images');
  try {
    const loaders = await openLoaders(experiment, dataSet, {
      onDecode: (split, done, count) => {
        if (done < count || decoding.active) decoding.report(before[split] + done, total);
      },
    });
    return runInputs(experiment, dataSet, backbone, engine, loaders);
  } finally {
    await decoding.close();
  }
}

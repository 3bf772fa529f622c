import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import type { Backbone } from '../model/backbone.js';
import type { CheckpointContext } from '../runs/checkpointFile.js';
import type { RunInputs } from '../runs/executeRun.js';
import { withDecodeProgress } from './decodeProgress.js';
import type { Io } from './io.js';
import { openBackbone } from './openBackbone.js';

export interface OpenForRunOptions {
  /** The checkpoint that the run goes on from: on its engine, and on its backbone where that is the experiment's. */
  readonly checkpoint: CheckpointContext | null;
  /** The frozen backbone; the experiment's when left out. */
  readonly backbone?: (dataSet: DataSet) => Backbone;
}

/** Opens all that a run needs, cheap checks first, and says on stderr which engine does the work and why. */
export async function openForRun(
  experiment: Experiment,
  { checkpoint, backbone: given }: OpenForRunOptions,
  io: Io,
): Promise<RunInputs> {
  const { openExperimentData, openExperimentEngine, openLoaders, runInputs } = await import(
    '../runs/openExperiment.js'
  );
  const { loadHardware } = await import('../hardware/load.js');
  const { requireImagesPerClass } = await import('../data/counts.js');
  const dataSet = await openExperimentData(experiment, io.env);
  requireImagesPerClass(dataSet);
  // Nobody should train for hours and learn only from the hardware report that its chip does not exist.
  loadHardware(experiment.hardware);
  const { engine, why } = await openExperimentEngine(experiment, checkpoint?.engine);
  const reason = checkpoint ? 'the checkpoint was made with it' : why;
  io.stderr(`engine ${engine.name}: ${engine.device} (${reason})\n`);
  const backbone =
    given?.(dataSet) ??
    (checkpoint && (await backboneOf(checkpoint, experiment))) ??
    (await openBackbone(experiment, dataSet, engine, io));
  const total = dataSet.train.length + dataSet.validation.length + dataSet.test.length;
  const loaders = await withDecodeProgress(io, total, (onDecode) =>
    openLoaders(experiment, dataSet, { onDecode, signal: io.signal }),
  );
  return runInputs(experiment, dataSet, backbone, engine, loaders);
}

/** Not calibrated again: which images and options that takes may be others in another version of xbm. */
async function backboneOf(checkpoint: CheckpointContext, experiment: Experiment): Promise<Backbone | null> {
  const { compareBackbone } = await import('../runs/sameInputs.js');
  const { findBackbone } = await import('../runs/findBackbone.js');
  if ((await compareBackbone(experiment, checkpoint)).is !== 'same') return null;
  return findBackbone(experiment.backbone.weights, checkpoint.backboneSha256);
}

import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import type { Backbone } from '../model/backbone.js';
import type { Io } from './io.js';
import { withProgress } from './progress.js';

/**
 * The backbone that an experiment names. Float weights are quantised with images of its training split, once: the
 * result stays in the store.
 */
export async function openBackbone(
  experiment: Experiment,
  dataSet: DataSet,
  engine: Engine,
  io: Io,
): Promise<Backbone> {
  const { resolveBackbone } = await import('../model/resolve.js');
  const { trainingCalibration } = await import('../runs/calibration.js');
  const calibration = trainingCalibration(experiment, dataSet, engine, { signal: io.signal });
  const options = { label: 'quantising the backbone', unit: 'steps', total: 0 };
  const { backbone } = await withProgress(io, options, (progress) =>
    resolveBackbone(experiment.backbone, calibration, (done, total) => {
      progress.setTotal(total);
      progress.update(done);
    }),
  );
  return backbone;
}

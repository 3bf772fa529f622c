/** @file The last step of pretraining: from the finished float run to a quantised backbone. */
import { foldBackbone } from '../adaption/fold.js';
import { readTaskFile } from '../adaption/taskFile.js';
import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import type { Backbone } from '../model/backbone.js';
import { bestCalibration, calibrateBackbone } from '../model/calibrate.js';
import { describeCalibration } from '../model/resolve.js';
import { saveBackbone } from '../model/store.js';
import { type Evaluation, evaluate } from '../training/evaluate.js';
import { backboneFromTask } from '../training/pretrain.js';
import { trainingCalibration } from './calibration.js';
import { type DecodeOptions, openSplit } from './openExperiment.js';
import type { RunFolder } from './runFolder.js';

export interface FinishOptions extends DecodeOptions {
  /** Its backbone section says how many bits. */
  readonly experiment: Experiment;
  /** A finished pretraining. */
  readonly run: RunFolder;
  /** What it started from. */
  readonly start: Backbone;
  readonly dataSet: DataSet;
  readonly engine: Engine;
  readonly calibrationImages: number;
  /** As of {@link saveBackbone}. */
  readonly hintIfThere?: string;
  readonly onCalibration?: (done: number, total: number) => void;
}

export interface FinishedBackbone {
  readonly backbone: Backbone;
  /** On the test split, before and after quantisation. */
  readonly float: { readonly accuracy: number };
  readonly quantized: Pick<Evaluation, 'accuracy' | 'images'>;
}

/** Quantises the trained weights, measures what that costs and writes the backbone to `path`. */
export async function finishBackbone(path: string, options: FinishOptions): Promise<FinishedBackbone> {
  const { experiment, run, start, dataSet, engine, signal } = options;
  const { weightBits, activationBits, weightScale } = experiment.backbone;
  const { batchSize, imageSize } = experiment.training;
  const float = run.readSummary();
  const trained = backboneFromTask(await readTaskFile(run.task, start.graph), start);
  const quantization = { weightBits, activationBits, weightScale, ...bestCalibration };
  const images = trainingCalibration(experiment, dataSet, engine, options, options.calibrationImages);
  const source = await images.open();
  try {
    const backbone = await calibrateBackbone(trained, quantization, source, options.onCalibration);
    const loader = await openSplit(experiment, dataSet, 'test', options);
    try {
      const network = foldBackbone(backbone);
      const quantized = await evaluate({ engine, network, loader, batchSize, imageSize, signal });
      const provenance = { sourceSha256: '', ...describeCalibration(quantization, source) };
      await saveBackbone(path, backbone, provenance, options.hintIfThere);
      return { backbone, float, quantized };
    } finally {
      await loader.close();
    }
  } finally {
    await source.close();
  }
}

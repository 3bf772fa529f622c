import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { Comparison, PresentImages } from '../runs/sameInputs.js';
import type { RunSummary } from '../runs/summary.js';
import { withDecodeProgress } from './decodeProgress.js';
import type { Io } from './io.js';

export interface Unchecked {
  readonly images?: string;
  readonly backbone?: string;
}

/**
 * Lets finished runs answer for an experiment only when the backbone and the images that the experiment names are
 * those that they were trained on. What is not on this machine cannot be compared.
 */
export class InputGuard {
  readonly #io: Io;
  /** Runs of one reproduction share their images: read once. */
  readonly #images = new Map<string, PresentImages | UserError>();

  constructor(io: Io) {
    this.#io = io;
  }

  /**
   * @param startsRandom the run has no backbone but random weights
   * @returns why the images or the backbone could not be compared, in words; nothing when they were
   * @throws UserError naming the run folder and what differs
   */
  async check(
    folder: RunFolder,
    summary: RunSummary,
    experiment: Experiment,
    startsRandom = false,
  ): Promise<Unchecked> {
    const { compareBackbone, requireSame } = await import('../runs/sameInputs.js');
    const images = await this.#compareImages(summary, experiment);
    const backbone = startsRandom ? null : await compareBackbone(experiment, summary);
    requireSame(folder, backbone ? [backbone, images] : [images]);
    return {
      ...(images.is === 'unknown' && { images: `its images could not be compared: ${images.why}` }),
      ...(backbone?.is === 'unknown' && { backbone: `its backbone could not be compared: ${backbone.why}` }),
    };
  }

  async #compareImages(summary: RunSummary, experiment: Experiment): Promise<Comparison> {
    const { compareImages } = await import('../runs/sameInputs.js');
    const { task, data, training } = experiment;
    const seed = data.validationPercent > 0 ? training.seed : null;
    const key = JSON.stringify([task, data, training.imageSize, seed]);
    return compareImages(summary, async () => {
      const images = this.#images.get(key) ?? (await this.#readImages(experiment));
      this.#images.set(key, images);
      return images;
    });
  }

  async #readImages(experiment: Experiment): Promise<PresentImages | UserError> {
    const { openExperimentData } = await import('../runs/openExperiment.js');
    const { presentImages } = await import('../runs/sameInputs.js');
    const { env, signal } = this.#io;
    const dataSet = await openExperimentData(experiment, env).catch((error) => {
      if (error instanceof UserError) return error;
      throw error;
    });
    if (dataSet instanceof UserError) return dataSet;
    return withDecodeProgress(this.#io, dataSet.train.length + dataSet.test.length, (onDecode) =>
      presentImages(experiment, dataSet, { onDecode, signal }),
    );
  }
}

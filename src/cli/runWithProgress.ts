import { ExitCode, UserError } from '../errors.js';
import type { CheckpointContext } from '../runs/checkpointFile.js';
import type { RunInputs, RunResult } from '../runs/executeRun.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { Io } from './io.js';
import { withProgress } from './progress.js';

type FinishedRun = Extract<RunResult, { finished: true }>;

/**
 * Trains in a locked run folder and shows how far it is.
 * @param resume continue the folder's checkpoint
 * @param open everything the run needs; called with that checkpoint's context
 * @throws UserError saying how to go on when `io.signal` stopped it
 */
export async function runWithProgress(
  folder: RunFolder,
  resume: boolean,
  open: (checkpoint: CheckpointContext | null) => Promise<RunInputs>,
  io: Io,
): Promise<FinishedRun> {
  const { executeRun } = await import('../runs/executeRun.js');
  const { closeLoaders } = await import('../runs/openExperiment.js');
  const { peekCheckpoint } = await import('../runs/checkpointFile.js');
  const { changedSince, readStarts } = await import('../runs/environment.js');
  const at = resume ? await peekCheckpoint(folder.checkpoint) : null;
  const inputs = await open(at);
  try {
    const changed = at && changedSince(readStarts(folder.environment), inputs.engine);
    if (changed) io.stderr(`${folder.path}: ${changed}\n`);
    const display = new TrainingDisplay(inputs, at?.step ?? 0);
    return await withProgress(io, display.options, async (progress) => {
      const result = await executeRun(folder, inputs, {
        start: resume ? 'resume' : 'fresh',
        signal: io.signal,
        onStep: ({ loss, accuracy }) => {
          const { done, note } = display.step(loss, accuracy);
          progress.update(done, note);
        },
        onEpoch: ({ validation }) => display.epoch(validation?.accuracy),
        onEvaluation: (images, total) =>
          progress.update(display.tested(images), `testing ${images}/${total}`),
      });
      if (!result.finished) throw interrupted(folder, result);
      return result;
    });
  } finally {
    const { train, validation, test } = inputs.loaders;
    await closeLoaders([train, validation, test]);
  }
}

function interrupted({ path }: RunFolder, run: Extract<RunResult, { finished: false }>): UserError {
  return new UserError(
    `interrupted after step ${run.steps} of ${run.totalSteps}; everything is saved in ${path}`,
    'Continue with the same command and --resume.',
    ExitCode.interrupted,
  );
}

/** What the progress line says: images of all epochs and of the test split; means over the epoch in progress. */
class TrainingDisplay {
  readonly #inputs: RunInputs;
  #steps: number;
  #lossSum = 0;
  #accuracySum = 0;
  #stepsSeen = 0;
  #validation = '';

  constructor(inputs: RunInputs, steps: number) {
    this.#inputs = inputs;
    this.#steps = steps;
  }

  get options() {
    const { experiment, loaders } = this.#inputs;
    const { name, task, method } = experiment;
    return {
      label: `${name ?? task} ${method.name}`,
      unit: 'images',
      total: this.#trainingImages + loaders.test.samples.length,
      start: this.#steps * experiment.training.batchSize,
    };
  }

  step(loss: number, accuracy: number): { done: number; note: string } {
    const { experiment, loaders } = this.#inputs;
    this.#steps++;
    this.#stepsSeen++;
    this.#lossSum += loss;
    this.#accuracySum += accuracy;
    const epoch = Math.ceil(this.#steps / loaders.train.batchesPerEpoch);
    const means = `loss ${(this.#lossSum / this.#stepsSeen).toFixed(3)}, ${(this.#accuracySum / this.#stepsSeen).toFixed(1)} %`;
    const note = `epoch ${epoch}/${experiment.training.epochs}, ${means}${this.#validation}`;
    return { done: this.#steps * experiment.training.batchSize, note };
  }

  epoch(validation: number | undefined): void {
    this.#lossSum = 0;
    this.#accuracySum = 0;
    this.#stepsSeen = 0;
    if (validation !== undefined) this.#validation = `, validation ${validation.toFixed(1)} %`;
  }

  tested(images: number): number {
    return this.#trainingImages + images;
  }

  get #trainingImages(): number {
    const { experiment, loaders } = this.#inputs;
    return experiment.training.epochs * loaders.train.batchesPerEpoch * experiment.training.batchSize;
  }
}

/** @file summary.json: the result of a finished run; nothing in it depends on when, where or how fast it ran. */
import { z } from 'zod';
import { UserError } from '../errors.js';

const percent = z.number().min(0).max(100);
const count = z.int().min(0);

const schema = z.object({
  task: z.string(),
  name: z.string().nullable(),
  method: z.enum(['xbm', 'piggyback', 'finetune', 'classifier']),
  granularity: z.enum(['element', 'kernel', 'column', 'channel']).nullable(),
  /** Rows of one column segment; null but for granularity column. */
  rows: count.nullable(),
  network: z.string(),
  weightBits: count,
  activationBits: count,
  backboneSha256: z.string(),
  /** File names, labels and pixels of the training and the test split; runs of older versions lack them. */
  trainImagesHash: z.string().optional(),
  testImagesHash: z.string().optional(),
  /** Top-1 on the test split after the last epoch, per cent. */
  accuracy: percent,
  /** Mean cross-entropy on the test split, nats. */
  loss: z.number(),
  /** Best on the validation split over all epochs; null without one. An extra, never the result. */
  bestValidation: z.object({ accuracy: percent, epoch: count }).nullable(),
  /** Of the mask bits, per cent; 0 for methods without masks. */
  shareOff: percent,
  maskBits: count,
  maskBytes: count,
  /** Weights of a fine-tuned network whose level is not the backbone's, of how many; runs of older versions lack it. */
  levels: z.object({ changed: count, weights: count }).optional(),
  /** Bytes of task.safetensors. */
  taskBytes: count,
  classes: count,
  trainImages: count,
  validationImages: count,
  testImages: count,
  imageSize: count,
  batchSize: count,
  epochs: count,
  steps: count,
  seed: count,
  engine: z.string(),
  configHash: z.string(),
  programVersion: z.string(),
});

export type RunSummary = z.infer<typeof schema>;

/** @throws UserError naming the file and the keys that are not usable */
export function parseSummary(path: string, text: string): RunSummary {
  return parse(schema, path, text);
}

const timingsSchema = z.object({
  trainingSeconds: z.number().nonnegative(),
  evaluationSeconds: z.number().nonnegative(),
  trainingImagesPerSecond: z.number().nonnegative(),
});

/** Time spent on a run, over all its starts; kept apart from the summary. */
export type RunTimings = Readonly<z.infer<typeof timingsSchema>>;

/** @throws UserError naming the file and the keys that are not usable */
export function parseTimings(path: string, text: string): RunTimings {
  return parse(timingsSchema, path, text);
}

function parse<T>(shape: z.ZodType<T>, path: string, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UserError(`${path}: not JSON`, 'Train the run again with --force.');
  }
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const paths = result.error.issues.map((issue) => issue.path.join('.') || 'the whole');
  const keys = [...new Set(paths)].join(', ');
  throw new UserError(
    `${path}: not written by a run: wrong or missing keys: ${keys}`,
    'Train the run again with --force.',
  );
}

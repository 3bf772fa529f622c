/** @file The experiment: what a YAML file may say, with every default. */
import { z } from 'zod';
import { networkNames } from '../model/networks.js';

const learningRate = z.number().nonnegative();
const path = z
  .string()
  .regex(/^[^\0]+$/)
  .describe('a path');
const bits = z.union([z.int().min(2).max(8), z.literal(32)]);

/** YAML reads an unquoted year as a number. */
function yearToText(value: unknown): unknown {
  return typeof value === 'number' ? String(value) : value;
}

export const experimentSchema = z.strictObject({
  task: z.enum(['cubs', 'cars', 'flowers', 'wikiart', 'sketches', 'folder']),
  /** Shown in reports and run folders; the task's name when null. */
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,63}$/)
    .describe('lower-case letters, digits and hyphens')
    .nullable()
    .default(null),
  data: z
    .strictObject({
      /** null: $XBM_DATA/<task>. */
      root: path.nullable().default(null),
      /** CUBS: 2011 is the paper's; 2010 has the same species and other images. */
      edition: z.preprocess(yearToText, z.enum(['2011', '2010']).nullable()).default(null),
      /** Crop to the bounding box (CUBS, Cars); null: the task's protocol. */
      crop: z.boolean().nullable().default(null),
      /** Share of each class that trains, per cent; for folders without a split of their own. */
      trainPercent: z.number().min(1).max(99).default(80),
      /** Share of the train split held out for validation, per cent. */
      validationPercent: z.number().min(0).max(50).default(0),
      /** null: the task's protocol. */
      augmentation: z
        .enum(['resize-flip', 'random-resized-crop', 'pad-crop', 'none'])
        .nullable()
        .default(null),
      /** Pixel caches; null: $XBM_HOME/cache. */
      cache: path.nullable().default(null),
      /** Threads that crop and flip; null: one per core, at most 8. */
      workers: z.int().min(0).max(64).nullable().default(null),
    })
    .prefault({}),
  backbone: z
    .strictObject({
      network: z.enum(networkNames as [string, ...string[]]).default('resnet50'),
      /** A safetensors file, or a name in the backbone store. */
      weights: path
        .describe('a safetensors file or the name of a stored backbone')
        .default('resnet50-imagenet'),
      weightBits: bits.default(4),
      activationBits: bits.default(4),
      /** One weight scale per output channel or per layer. */
      weightScale: z.enum(['channel', 'layer']).default('channel'),
    })
    .prefault({}),
  method: z
    .strictObject({
      name: z.enum(['xbm', 'piggyback', 'finetune', 'classifier']).default('xbm'),
      /** null: the method's own: column for xbm, element for piggyback. */
      granularity: z.enum(['element', 'kernel', 'column', 'channel']).nullable().default(null),
      /** At most the weights of the longest filter (512 channels of 3×3). */
      rows: z.int().min(1).max(4608).default(72),
      /** null: the method's own: sigmoid for xbm, identity for piggyback. */
      binarizer: z.enum(['sigmoid', 'identity']).nullable().default(null),
      threshold: z.number().default(0.005),
      slope: z.number().positive().default(12),
      initialScore: z.number().default(0.01),
      noise: z.boolean().default(false),
      /** null: the method's own: true but for classifier. */
      trainBatchNorm: z.boolean().nullable().default(null),
    })
    .prefault({}),
  training: z
    .strictObject({
      imageSize: z.int().min(8).max(1024).default(224),
      batchSize: z.int().min(1).max(4096).default(32),
      epochs: z.int().min(1).max(10_000).default(30),
      seed: z.int().min(0).max(0x7fffffff).default(0),
      optimizer: z.enum(['adam', 'sgd']).default('adam'),
      momentum: z.number().min(0).max(0.999).default(0.9),
      weightDecay: z.number().min(0).default(0),
      schedule: z.enum(['cosine', 'step', 'constant']).default('cosine'),
      /** Epochs between two drops of the `step` schedule. */
      stepEpochs: z.int().min(1).max(10_000).default(15),
      stepFactor: z.number().positive().max(1).default(0.1),
      learningRate: z
        .strictObject({
          masks: learningRate.default(2e-4),
          weights: learningRate.default(5e-3),
          batchNorm: learningRate.default(2e-4),
          head: learningRate.default(2e-4),
        })
        .prefault({}),
      /** Minutes between two checkpoints; one is also written at the end of each epoch. */
      checkpointMinutes: z.number().positive().default(5),
    })
    .prefault({}),
  hardware: path.describe('a hardware preset or a YAML file').default('nn-imc'),
  engine: z.enum(['auto', 'onnx', 'tfjs', 'webgpu']).default('auto'),
  /** CPU threads of the engine; 0: as many as there are cores. */
  threads: z.int().min(0).max(1024).default(0),
});

/** A fully resolved experiment. */
export type Experiment = z.infer<typeof experimentSchema>;

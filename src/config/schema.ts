/** @file The experiment: what a YAML file may say, with every default and what it means (docs/config.md). */
import { z } from 'zod';
import { augmentations } from '../data/types.js';
import { engineChoices } from '../engines/engine.js';
import { networkNames } from '../model/networks.js';
import { batchSizeLimits, imageSizeLimits } from './limits.js';

const learningRate = z.number().nonnegative();
/** Beside larger scores the step of a learning rate is lost in float32's rounding. */
const score = z.number().min(-1000).max(1000);
const path = z
  .string()
  .regex(/^[^\0]+$/)
  .describe('a path');
const bits = z.union([z.int().min(2).max(8), z.literal(32)]);

/** YAML reads an unquoted year as a number. */
function yearToText(value: unknown): unknown {
  return typeof value === 'number' ? String(value) : value;
}

/** What a key means, and what null stands for; `xbm config show` and docs/config.md print it. */
export interface KeyMeaning {
  readonly about?: string;
  readonly whenNull?: string;
}

const means = (about: string, whenNull?: string): KeyMeaning & Record<string, unknown> => ({
  about,
  ...(whenNull !== undefined && { whenNull }),
});

const protocol = "the task's protocol";

export const experimentSchema = z.strictObject({
  task: z
    .enum(['cubs', 'cars', 'flowers', 'wikiart', 'sketches', 'folder'])
    .meta(means('whose data set is learnt; folder: any folder of class folders (datasets.md)')),
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,63}$/)
    .describe('lower-case letters, digits and hyphens')
    .nullable()
    .default(null)
    .meta(means('stands for the task in reports and run folders', "the task's name")),
  data: z
    .strictObject({
      root: path.nullable().default(null).meta(means('folder of the data set', '$XBM_DATA/<task>')),
      edition: z
        .preprocess(yearToText, z.enum(['2011', '2010']).nullable())
        .default(null)
        .meta(
          means(
            "of CUBS: 2011 is the paper's, 2010 has the same species and other images",
            'as found in the data',
          ),
        ),
      crop: z
        .boolean()
        .nullable()
        .default(null)
        .meta(means('cut images to their bounding boxes (CUBS, Cars)', protocol)),
      trainPercent: z
        .number()
        .min(1)
        .max(99)
        .default(80)
        .meta(means('share of each class that trains, where the data have no split of their own')),
      validationPercent: z
        .number()
        .min(0)
        .max(50)
        .default(0)
        .meta(means('share of the train split that is held out to watch the training')),
      augmentation: z
        .enum(augmentations)
        .nullable()
        .default(null)
        .meta(
          means(
            'of training images: mirrored; a random part, mirrored (tests: the centre); shifted by up to 1/8, mirrored; none',
            protocol,
          ),
        ),
      cache: path.nullable().default(null).meta(means('folder of decoded pixels', '$XBM_HOME/cache')),
      workers: z
        .int()
        .min(0)
        .max(64)
        .nullable()
        .default(null)
        .meta(means('threads that crop and flip', 'one per core, at most 8')),
    })
    .prefault({}),
  backbone: z
    .strictObject({
      network: z
        .enum(networkNames as [string, ...string[]])
        .default('resnet50')
        .meta(means('its architecture')),
      weights: path
        .describe('a safetensors file or the name of a stored backbone')
        .default('resnet50-imagenet')
        .meta(means('float weights are quantised on images of the task, once (docs/calibration.md)')),
      weightBits: bits.default(4).meta(means('of the weights; 32: full precision')),
      activationBits: bits.default(4).meta(means('of the activations; 32: full precision')),
      weightScale: z
        .enum(['channel', 'layer'])
        .default('channel')
        .meta(means('what has a scale of its own: an output channel or a layer')),
    })
    .prefault({}),
  method: z
    .strictObject({
      name: z
        .enum(['xbm', 'piggyback', 'finetune', 'classifier'])
        .default('xbm')
        .meta(means('what is trained: masks of columns, masks of weights, all weights, the head alone')),
      granularity: z
        .enum(['element', 'kernel', 'column', 'channel'])
        .nullable()
        .default(null)
        .meta(
          means(
            'what a mask bit switches: a weight, a k×k kernel, a column segment, an output channel',
            'column for xbm, element for piggyback',
          ),
        ),
      rows: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(72)
        .meta(means('rows of a column segment: those of the crossbar; at most the whole filter')),
      binarizer: z
        .enum(['sigmoid', 'identity'])
        .nullable()
        .default(null)
        .meta(
          means(
            'what the gradient of a bit is taken as: that of sigmoid or 1',
            'sigmoid for xbm, identity for piggyback',
          ),
        ),
      threshold: score.default(0.005).meta(means('a bit is on where its score is above')),
      slope: z
        .number()
        // Beyond, products with scores and squares of gradients leave the range of float32.
        .min(1e-6)
        .max(1e6)
        .default(12)
        .meta(means('of the sigmoid: sigmoid(slope × (score − threshold))')),
      initialScore: score.default(0.01).meta(means('where scores start: above threshold, all bits on')),
      noise: z
        .boolean()
        .default(false)
        .meta(means("add Gumbel noise to the sigmoid's argument while training")),
      trainBatchNorm: z
        .boolean()
        .nullable()
        .default(null)
        .meta(
          means('train batch norm and follow its statistics; else it is frozen', 'true but for classifier'),
        ),
    })
    .prefault({}),
  training: z
    .strictObject({
      imageSize: z
        .int()
        .min(imageSizeLimits.min)
        .max(imageSizeLimits.max)
        .default(224)
        .meta(means('side of the square images, pixels')),
      batchSize: z
        .int()
        .min(batchSizeLimits.min)
        .max(batchSizeLimits.max)
        .default(32)
        .meta(means('images per step')),
      epochs: z
        .int()
        .min(1)
        .max(10_000)
        .default(30)
        .meta(means('passes over the training images; each leaves out what does not fill a last batch')),
      seed: z
        .int()
        .min(0)
        .max(0x7fffffff)
        .default(0)
        .meta(means('of all that is random: order, augmentation, head, noise, what is held out')),
      optimizer: z.enum(['adam', 'sgd']).default('adam').meta(means('as in PyTorch')),
      momentum: z.number().min(0).max(0.999).default(0.9).meta(means('of sgd')),
      weightDecay: z.number().min(0).default(0).meta(means('times the parameter, added to its gradient')),
      schedule: z
        .enum(['cosine', 'step', 'constant'])
        .default('cosine')
        .meta(means('of the learning rates: towards 0, in drops, or none')),
      stepEpochs: z
        .int()
        .min(1)
        .max(10_000)
        .default(15)
        .meta(means('epochs between two drops of the schedule step')),
      stepFactor: z.number().positive().max(1).default(0.1).meta(means('what a drop multiplies with')),
      learningRate: z
        .strictObject({
          masks: learningRate.default(2e-4).meta(means("of the masks' scores")),
          weights: learningRate.default(5e-3).meta(means('of the weights (finetune)')),
          batchNorm: learningRate.default(2e-4).meta(means("of batch norm's weights and biases")),
          head: learningRate.default(2e-4).meta(means('of the classifier')),
        })
        .prefault({}),
      checkpointMinutes: z
        .number()
        .positive()
        .default(5)
        .meta(means('time between two checkpoints; one is also written after each epoch')),
    })
    .prefault({}),
  hardware: path
    .describe('a hardware preset or a YAML file')
    .default('nn-imc')
    .meta(means('the chip that the task is priced on (docs/hardware.md); changes no result')),
  engine: z
    .enum(engineChoices)
    .default('auto')
    .meta(means('who computes; auto: the best one present (xbm engines)')),
  threads: z.int().min(0).max(1024).default(0).meta(means('CPU threads of the engine; 0: one per core')),
});

/** A fully resolved experiment. */
export type Experiment = z.infer<typeof experimentSchema>;

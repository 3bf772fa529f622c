import { resolve } from 'node:path';
import { foldBackbone } from '../adaption/fold.js';
import { CENTRE_CROP_PERCENT } from '../data/pixel-spec.js';
import type { Sample } from '../data/types.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { imageId } from '../model/hash.js';
import { openFloatBackbone } from '../model/resolve.js';
import { isStoredBackbone, loadBackbone } from '../model/store.js';
import type { ImageForm } from '../model/storeMetadata.js';
import { wilsonInterval } from '../model/wilson.js';
import { evaluate } from '../training/evaluate.js';
import type { QuantizeArguments } from './backbone.js';
import {
  calibrateOn,
  drawImages,
  imageSizeOf,
  noteFewImages,
  openImages,
  openNamedEngine,
  refuseIdle,
} from './backboneCalibration.js';
import { findLabelled } from './backboneImages.js';
import { resolveName } from './backboneInfo.js';
import type { Io } from './io.js';
import { flagOf } from './options.js';
import { withProgress } from './progress.js';
import { formatTable } from './table.js';

export interface CheckArguments extends QuantizeArguments {
  readonly images: string;
  readonly labels?: string;
  readonly float?: string;
  readonly limit?: number;
}

interface Variant {
  readonly name: string;
  readonly backbone: Backbone;
}

type Engine = Awaited<ReturnType<typeof openNamedEngine>>;

/** `xbm backbone check`. */
export async function checkBackbone(name: string, given: CheckArguments, io: Io): Promise<void> {
  const path = await resolveName(name, io);
  const stored = (await isStoredBackbone(path)) ? await loadBackbone(path) : undefined;
  const isFloat = !stored || (stored.backbone.weightBits === 32 && stored.backbone.activationBits === 32);
  if (isFloat) refuseIdle(given);
  else refuseQuantizing(path, given.named);
  const args = isFloat ? given : asCalibrated(given, stored.provenance.calibrationForm, io);
  const engine = await openNamedEngine(args, io);
  const plan = isFloat
    ? await planFloat(path, engine, args, io)
    : await planStored(stored.backbone, new Set(stored.provenance.calibrationImages), args, io);
  // In order the first images are those of the first classes.
  const { limit = plan.samples.length, seed } = args;
  const samples = drawImages(plan.samples, limit, seed, 'measured images').drawn;
  if (samples.length === 0)
    throw new UserError('no image is left to measure on', 'Add images, or lower --calibration-images.');
  const rows = await measure(plan.variants, samples, engine, args, io);
  if (args.json) {
    const rest = { calibrationImages: plan.calibrationImages, measuredImages: samples.length };
    io.stdout(`${JSON.stringify({ file: path, ...rest, rows })}\n`);
    return;
  }
  io.stdout(
    formatTable(
      ['variant', 'top-1 %', '95 % interval', 'correct', 'loss'],
      rows.map((row) => [
        row.variant,
        row.accuracy.toFixed(2),
        row.interval.map((bound) => bound.toFixed(1)).join(' – '),
        `${row.correct} of ${row.images}`,
        row.loss.toFixed(3),
      ]),
    ),
  );
  io.stdout(`none of the ${plan.calibrationImages} calibration images was measured on\n`);
}

function refuseQuantizing(path: string, named: CheckArguments['named']): void {
  if (named.length === 0) return;
  throw new UserError(
    `${path}: is quantised already; ${named.map(flagOf).join(' and ')} would change nothing`,
    'Leave that out, or name the float weights it was made from.',
  );
}

/** Images in the form that the backbone was calibrated on, where the arguments name no other; says so where they do. */
function asCalibrated(args: CheckArguments, form: ImageForm | undefined, io: Io): CheckArguments {
  if (!form) return args;
  const { imageSize = form.imageSize, augmentation = form.augmentation } = args;
  const crop = args.crop ?? (args.augmentation === undefined ? form.crop : undefined);
  const used = { imageSize, augmentation, crop };
  if (describeForm(used) !== describeForm(form))
    io.stderr(`Note: it was calibrated ${describeForm(form)}, and is measured ${describeForm(used)}\n`);
  return { ...args, ...used };
}

function describeForm({ imageSize, augmentation, crop }: ImageForm): string {
  const cropped = crop === undefined || crop === CENTRE_CROP_PERCENT ? '' : `, centre crop of ${crop} %`;
  return `at ${imageSize} pixels${augmentation === undefined ? '' : ` (${augmentation})`}${cropped}`;
}

/** Float weights: draws the calibration images, quantises here, measures on the others. */
async function planFloat(path: string, engine: Engine, args: CheckArguments, io: Io) {
  const float = await openFloatBackbone(path, args.network);
  const variants: Variant[] = [{ name: 'full precision', backbone: float }];
  const labelled = await labelledImages(float, args, io);
  const { drawn, rest } = drawImages(labelled, args.calibrationImages, args.seed, 'calibration images');
  const { weightBits, activationBits } = args;
  if (weightBits === 32 && activationBits === 32)
    return { variants, samples: labelled, calibrationImages: 0 };
  noteFewImages(drawn.length, io);
  const width = `${weightBits}-bit weights, ${activationBits}-bit activations`;
  if (args.batchNorm !== 'keep' || args.rounding !== 'nearest') {
    const simple = { ...args, rounding: 'nearest', batchNorm: 'keep' } as const;
    const plain = await calibrateOn(float, drawn, engine, simple, io);
    variants.push({ name: `${width}, plain`, backbone: plain.backbone });
  }
  const { backbone } = await calibrateOn(float, drawn, engine, args, io);
  variants.push({ name: `${width}, rounding ${args.rounding}, batch norm ${args.batchNorm}`, backbone });
  return { variants, samples: rest, calibrationImages: drawn.length };
}

/** A stored backbone: leaves out the images it was calibrated on, known by their content. */
async function planStored(
  backbone: Backbone,
  calibration: ReadonlySet<string>,
  args: CheckArguments,
  io: Io,
) {
  const variants: Variant[] = [];
  if (args.float !== undefined) {
    const { network } = backbone.graph;
    const float = await openFloatBackbone(resolve(io.cwd, args.float), network, 'the checked backbone');
    variants.push({ name: 'full precision', backbone: float });
  }
  const { weightBits, activationBits } = backbone;
  variants.push({ name: `stored, ${weightBits}-bit weights, ${activationBits}-bit activations`, backbone });
  const labelled = await labelledImages(backbone, args, io);
  const ids = await Promise.all(labelled.map(({ path }) => imageId(path)));
  const samples = labelled.filter((_, i) => !calibration.has(ids[i]));
  return { variants, samples, calibrationImages: calibration.size };
}

function labelledImages({ classes, head }: Backbone, args: CheckArguments, io: Io): Promise<Sample[]> {
  const labels = args.labels === undefined ? undefined : resolve(io.cwd, args.labels);
  return findLabelled(resolve(io.cwd, args.images), labels, classes, head.bias.length);
}

async function measure(
  variants: readonly Variant[],
  samples: readonly Sample[],
  engine: Engine,
  args: CheckArguments,
  io: Io,
) {
  const { network } = variants[0].backbone.graph;
  const loader = await openImages(samples, network, args, io);
  const rows = [];
  try {
    for (const { name, backbone } of variants) {
      const options = { label: name, unit: 'images', total: samples.length };
      const { accuracy, correct, images, loss } = await withProgress(io, options, (progress) =>
        evaluate({
          engine,
          network: foldBackbone(backbone),
          loader,
          batchSize: args.batchSize,
          imageSize: imageSizeOf(network, args),
          signal: io.signal,
          onProgress: (done) => progress.update(done),
        }),
      );
      rows.push({
        variant: name,
        accuracy,
        interval: wilsonInterval(correct, images),
        correct,
        images,
        loss,
      });
    }
  } finally {
    await loader.close();
  }
  return rows;
}

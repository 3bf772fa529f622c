/** @file The metadata of a stored backbone: safetensors metadata are strings, so this is where they get types. */
import { z } from 'zod';
import { type Augmentation, augmentations } from '../data/types.js';
import { UserError } from '../errors.js';
import type { Backbone } from './backbone.js';
import { networkNames } from './networks.js';

export const STORE_FORMAT = 'xbm-backbone-1';

/** Where a backbone came from and how it was made; kept in its file, not part of its SHA-256. */
export interface Provenance {
  /** SHA-256 of the float weights' file; empty when it was trained here. */
  readonly sourceSha256: string;
  /** In words: the images, the number of them, the method. */
  readonly calibration: string;
  /** {@link imageId} of every calibration image, so that none of them is ever measured on. */
  readonly calibrationImages?: readonly string[];
  /** How these images became its input. */
  readonly calibrationForm?: ImageForm;
}

/** How an image becomes the network's input. */
export interface ImageForm {
  /** Side of the square, pixels. */
  readonly imageSize: number;
  readonly augmentation?: Augmentation;
  /** Per cent of the short side that the centre crop takes; left out: the usual 87.5. */
  readonly crop?: number;
}

const integer = z
  .string()
  .regex(/^\d{1,7}$/)
  .transform(Number);
const bits = integer.refine((value) => (value >= 2 && value <= 8) || value === 32);
const jsonText = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'no JSON' });
    return z.NEVER;
  }
});
const triple = z.tuple([z.number(), z.number(), z.number()]);

const schema = z.object({
  format: z.literal(STORE_FORMAT),
  network: z.enum(networkNames as [string, ...string[]]),
  classCount: integer,
  classes: jsonText.pipe(z.array(z.string())),
  weightBits: bits,
  activationBits: bits,
  normalization: jsonText.pipe(z.object({ mean: triple, std: triple })),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  sourceSha256: z.string(),
  calibration: z.string(),
  calibrationImages: z.string().default('[]').pipe(jsonText).pipe(z.array(z.string())),
  calibrationForm: jsonText
    .pipe(
      z.object({
        imageSize: z.int().positive(),
        augmentation: z.enum(augmentations).optional(),
        crop: z.number().optional(),
      }),
    )
    .optional(),
  programVersion: z.string(),
});

export type StoreMetadata = z.infer<typeof schema>;

export function storeMetadata(
  backbone: Backbone,
  provenance: Provenance,
  programVersion: string,
): Record<string, string> {
  return {
    format: STORE_FORMAT,
    network: backbone.graph.network,
    classCount: String(backbone.head.bias.length),
    classes: JSON.stringify(backbone.classes),
    weightBits: String(backbone.weightBits),
    activationBits: String(backbone.activationBits),
    normalization: JSON.stringify(backbone.normalization),
    sha256: backbone.sha256,
    sourceSha256: provenance.sourceSha256,
    calibration: provenance.calibration,
    calibrationImages: JSON.stringify(provenance.calibrationImages ?? []),
    ...(provenance.calibrationForm && { calibrationForm: JSON.stringify(provenance.calibrationForm) }),
    programVersion,
  };
}

/** Files written before they had the key `calibrationForm` say it in words alone. */
function formInWords(calibration: string): ImageForm | undefined {
  const size = / at (\d+) pixels/.exec(calibration)?.[1];
  const crop = /centre crop of ([\d.]+) %/.exec(calibration)?.[1];
  if (size === undefined) return undefined;
  return {
    imageSize: Number(size),
    ...(crop !== undefined && { augmentation: 'random-resized-crop', crop: Number(crop) }),
  };
}

/** @throws UserError when the file is not a stored backbone or its metadata are not usable */
export function parseStoreMetadata(path: string, metadata: Readonly<Record<string, string>>): StoreMetadata {
  if (metadata.format !== STORE_FORMAT) {
    throw new UserError(
      `${path}: is no stored backbone (metadata "format" is not "${STORE_FORMAT}")`,
      'Import float weights first: `xbm backbone import FILE.safetensors`.',
    );
  }
  const result = schema.safeParse(metadata);
  if (result.success) {
    const calibrationForm = result.data.calibrationForm ?? formInWords(result.data.calibration);
    return { ...result.data, ...(calibrationForm && { calibrationForm }) };
  }
  const keys = [...new Set(result.error.issues.map((issue) => String(issue.path[0])))].join(', ');
  throw new UserError(`${path}: metadata of the stored backbone not usable: ${keys}`, 'Import it again.');
}

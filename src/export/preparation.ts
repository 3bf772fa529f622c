import { pixelSpec } from '../data/pixel-spec.js';
import type { Augmentation } from '../data/types.js';

/** How an image file becomes the model's input: what evaluation does, step by step. */
export interface ImagePreparation {
  /** Cropped to the data set's bounding box first. */
  readonly boundingBox: boolean;
  /** `square`: to size × size. `short-side`: so that the short side is `size`, the long side truncated. */
  readonly resize: { readonly kind: 'square' | 'short-side'; readonly size: number };
  /** Side of the centred square that is cut out, pixels; null: none. */
  readonly centerCrop: number | null;
  readonly filter: 'bilinear, antialiased';
}

/** The deterministic form of an augmentation, as test images get it. */
export function imagePreparation(
  augmentation: Augmentation,
  imageSize: number,
  boundingBox: boolean,
): ImagePreparation {
  const { kind, size } = pixelSpec(augmentation, imageSize);
  const centerCrop = kind === 'short-side' ? imageSize : null;
  return { boundingBox, resize: { kind, size }, centerCrop, filter: 'bilinear, antialiased' };
}

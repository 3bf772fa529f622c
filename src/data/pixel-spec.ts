/** @file Which pixels of an image the cache keeps. */
import type { Augmentation } from './types.js';

export interface PixelSpec {
  /**
   * `square`: resized to size × size. `short-side`: shrunk so that the short side is `size`; smaller images stay
   * as they are and are enlarged when they are used.
   */
  readonly kind: 'square' | 'short-side';
  readonly size: number;
}

/** Per cent of the short side that the centre crop takes: 224 of 256 pixels. */
export const CENTRE_CROP_PERCENT = 87.5;

/** The pixels that an augmentation starts from; `cropPercent` as in `LoaderOptions`. */
export function pixelSpec(augmentation: Augmentation, imageSize: number, cropPercent?: number): PixelSpec {
  return augmentation === 'random-resized-crop'
    ? { kind: 'short-side', size: croppedShortSide(imageSize, cropPercent) }
    : { kind: 'square', size: imageSize };
}

/** Short side of the image that a crop of `imageSize` is taken from, pixels. */
export function croppedShortSide(imageSize: number, cropPercent = CENTRE_CROP_PERCENT): number {
  return Math.round((100 / cropPercent) * imageSize);
}

/** Width and height after torchvision's `Resize(size)`: short side exact, long side truncated. */
export function shortSideDimensions(width: number, height: number, size: number): [number, number] {
  return width <= height
    ? [size, Math.max(size, Math.trunc((size * height) / width))]
    : [Math.max(size, Math.trunc((size * width) / height)), size];
}

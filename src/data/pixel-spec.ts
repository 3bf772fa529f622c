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

/** The pixels that an augmentation starts from. */
export function pixelSpec(augmentation: Augmentation, imageSize: number): PixelSpec {
  return augmentation === 'random-resized-crop'
    ? { kind: 'short-side', size: Math.round((256 / 224) * imageSize) }
    : { kind: 'square', size: imageSize };
}

/** Width and height after torchvision's `Resize(size)`: short side exact, long side truncated. */
export function shortSideDimensions(width: number, height: number, size: number): [number, number] {
  return width <= height
    ? [size, Math.max(size, Math.trunc((size * height) / width))]
    : [Math.max(size, Math.trunc((size * width) / height)), size];
}

/** @file What happens to one sample in one epoch, a pure function of (seed, epoch, sample index). */
import { hashString, uniform } from '../random.js';
import { croppedShortSide, shortSideDimensions } from './pixel-spec.js';
import type { Augmentation, Box } from './types.js';

const AUGMENT = hashString('augment');
const [FLIP, SHIFT_X, SHIFT_Y, CROP] = [0, 1, 2, 8];

/** RandomResizedCrop's share of the area and aspect ratios, as in torchvision. */
const AREA: readonly [number, number] = [0.08, 1];
const RATIO: readonly [number, number] = [3 / 4, 4 / 3];
const ATTEMPTS = 10;

/** How one image becomes [imageSize, imageSize, 3]. */
export type View =
  /** Crop (in cached pixels, need not be whole), resize, perhaps mirror. */
  | { readonly kind: 'crop'; readonly crop: Box; readonly flip: boolean }
  /** Shift by whole pixels, black outside, perhaps mirror. */
  | { readonly kind: 'shift'; readonly x: number; readonly y: number; readonly flip: boolean };

export interface ViewOptions {
  readonly mode: 'train' | 'evaluate';
  readonly augmentation: Augmentation;
  readonly imageSize: number;
  readonly cropPercent?: number;
  readonly seed: number;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The view of a sample in an epoch; `cached` is the size of its cached pixels. */
export function viewOf(options: ViewOptions, cached: Size, epoch: number, index: number): View {
  const { mode, augmentation, imageSize } = options;
  const whole: Box = { x: 0, y: 0, width: cached.width, height: cached.height };
  const draw = (...key: number[]) => uniform(options.seed, AUGMENT, epoch, index, ...key);
  if (augmentation === 'none') return { kind: 'crop', crop: whole, flip: false };
  if (augmentation === 'random-resized-crop') return resizedCropView(options, cached, draw);
  if (mode === 'evaluate') return { kind: 'crop', crop: whole, flip: false };
  const flip = draw(FLIP) < 0.5;
  if (augmentation === 'resize-flip') return { kind: 'crop', crop: whole, flip };
  const pad = Math.round(imageSize / 8);
  const shift = (key: number) => Math.floor(draw(key) * (2 * pad + 1)) - pad;
  return { kind: 'shift', x: shift(SHIFT_X), y: shift(SHIFT_Y), flip };
}

type Draw = (...key: number[]) => number;

/** Boxes are drawn in whole pixels of the image at the protocol's short side, then scaled to the cached pixels. */
function resizedCropView(options: ViewOptions, cached: Size, draw: Draw): View {
  const { mode, imageSize, cropPercent } = options;
  const short = Math.max(croppedShortSide(imageSize, cropPercent), Math.min(cached.width, cached.height));
  const [width, height] = shortSideDimensions(cached.width, cached.height, short);
  const box =
    mode === 'train' ? randomResizedCrop(width, height, draw) : centreCrop(width, height, imageSize);
  const [scaleX, scaleY] = [cached.width / width, cached.height / height];
  const crop = {
    x: box.x * scaleX,
    y: box.y * scaleY,
    width: box.width * scaleX,
    height: box.height * scaleY,
  };
  return { kind: 'crop', crop, flip: mode === 'train' && draw(FLIP) < 0.5 };
}

/** torchvision's RandomResizedCrop.get_params. */
export function randomResizedCrop(width: number, height: number, draw: Draw): Box {
  const [low, high] = RATIO;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const at = (n: number) => draw(CROP + attempt, n);
    const area = width * height * (AREA[0] + (AREA[1] - AREA[0]) * at(0));
    const ratio = Math.exp(Math.log(low) + (Math.log(high) - Math.log(low)) * at(1));
    const w = Math.round(Math.sqrt(area * ratio));
    const h = Math.round(Math.sqrt(area / ratio));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const x = Math.floor(at(2) * (width - w + 1));
      return { x, y: Math.floor(at(3) * (height - h + 1)), width: w, height: h };
    }
  }
  const ratio = width / height;
  const w = ratio > high ? Math.round(height * high) : width;
  const h = ratio < low ? Math.round(width / low) : height;
  return { x: Math.floor((width - w) / 2), y: Math.floor((height - h) / 2), width: w, height: h };
}

/** torchvision's CenterCrop of an image that is large enough. */
function centreCrop(width: number, height: number, size: number): Box {
  return { x: Math.round((width - size) / 2), y: Math.round((height - size) / 2), width: size, height: size };
}

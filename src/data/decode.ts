/** @file One image file → 8-bit sRGB pixels of the size that the cache keeps. */
import { readFile } from 'node:fs/promises';
import { UserError } from '../errors.js';
import { type PixelSpec, shortSideDimensions } from './pixel-spec.js';
import type { Box } from './types.js';

/** Images longer than this many times their short side are refused: enlarged they would fill the memory. */
const MAX_ASPECT = 100;

export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] */
  readonly pixels: Uint8Array<ArrayBuffer>;
}

/**
 * Decodes an image: turned by its EXIF orientation, cropped to `box`, alpha on white, grey, CMYK and 16-bit
 * converted to 8-bit sRGB, shrunk with an antialiased bilinear filter.
 * @throws UserError naming the file and the reason
 */
export async function decodeImage(
  path: string,
  box: Box | undefined,
  spec: PixelSpec,
): Promise<DecodedImage> {
  const { default: sharp } = await import('sharp');
  try {
    const image = sharp(await readFile(path), { failOn: 'error' });
    const { autoOrient } = await image.metadata();
    const crop = clampBox(box, autoOrient.width, autoOrient.height);
    const [width, height] = targetDimensions(crop.width, crop.height, spec);
    image.autoOrient();
    if (box) image.extract({ left: crop.x, top: crop.y, width: crop.width, height: crop.height });
    if (width !== crop.width || height !== crop.height) {
      image.resize(width, height, { fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false });
    }
    const { data, info } = await image
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, pixels: toRgb(data, info.width * info.height) };
  } catch (error) {
    throw new UserError(
      `${path} cannot be decoded: ${reasonOf(error as Error)}`,
      'Replace the file; `xbm data verify` lists all damaged images.',
    );
  }
}

/** libvips keeps its words in one buffer for all threads: another damaged image may have taken them. */
function reasonOf({ message }: Error): string {
  const words = message.trim().replaceAll('\n', '; ');
  return words === '' || words === 'Unknown error' ? 'damaged or cut off' : words;
}

function targetDimensions(width: number, height: number, spec: PixelSpec): [number, number] {
  if (Math.max(width, height) > MAX_ASPECT * Math.min(width, height)) {
    throw new Error(`${width}×${height} pixels is too long and thin`);
  }
  if (spec.kind === 'square') return [spec.size, spec.size];
  return Math.min(width, height) <= spec.size
    ? [width, height]
    : shortSideDimensions(width, height, spec.size);
}

function clampBox(box: Box | undefined, width: number, height: number): Box {
  if (!box) return { x: 0, y: 0, width, height };
  const x = Math.max(0, Math.floor(box.x));
  const y = Math.max(0, Math.floor(box.y));
  const right = Math.min(width, Math.round(box.x + box.width));
  const bottom = Math.min(height, Math.round(box.y + box.height));
  if (right <= x || bottom <= y) {
    const text = `x ${box.x}, y ${box.y}, ${box.width}×${box.height}`;
    throw new Error(`its bounding box (${text}) lies outside the image (${width}×${height})`);
  }
  return { x, y, width: right - x, height: bottom - y };
}

/** Copies to a buffer of its own, which can move between threads; grey becomes three equal channels. */
function toRgb(data: Uint8Array, count: number): Uint8Array<ArrayBuffer> {
  const channels = data.length / count;
  if (channels === 3) return new Uint8Array(data);
  if (channels !== 1) throw new Error(`${channels} channels after conversion to RGB`);
  const rgb = new Uint8Array(count * 3);
  for (let i = 0; i < count; i++) rgb.fill(data[i], i * 3, i * 3 + 3);
  return rgb;
}

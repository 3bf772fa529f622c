/** @file Pictures of data, pixel by pixel. */
import { replaceFile } from '../model/replaceFile.js';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** RGB, [height, width, 3]. */
  readonly pixels: Uint8Array;
}

/** White for 0 to dark blue for 1; the square root makes small shares visible. */
export function heatColour(share: number): [number, number, number] {
  const t = Math.sqrt(share);
  return [Math.round(255 - 247 * t), Math.round(255 - 207 * t), Math.round(255 - 148 * t)];
}

/** Writes a PNG in one atomic step. */
export async function writePng(path: string, { width, height, pixels }: Picture): Promise<void> {
  const { default: sharp } = await import('sharp');
  const image = sharp(pixels, { raw: { width, height, channels: 3 } });
  await replaceFile(path, [await image.png({ compressionLevel: 9 }).toBuffer()]);
}

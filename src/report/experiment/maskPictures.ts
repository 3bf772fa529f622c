/** @file The masks of a trained task as one small picture per layer. */
import type { Task } from '../../adaption/task.js';
import { layersOfKind } from '../../model/graph.js';
import type { MaskPicture } from './types.js';

/** Tallest picture, in cells: finer masks are averaged down to it. */
const MAX_ROWS = 64;

/** A column is an output channel, a row a segment of its filter; white is on, black is off. */
export async function maskPicturesOf(task: Pick<Task, 'graph' | 'masks'>): Promise<MaskPicture[]> {
  const { default: sharp } = await import('sharp');
  const pictures: MaskPicture[] = [];
  for (const { name, outChannels } of layersOfKind(task.graph, 'conv')) {
    const mask = task.masks[name];
    if (!mask) continue;
    const { height, pixels } = averaged(mask, outChannels);
    const image = sharp(pixels, { raw: { width: outChannels, height, channels: 1 } });
    const png = await image.toColourspace('b-w').png({ compressionLevel: 9 }).toBuffer();
    pictures.push({ layer: name, width: outChannels, height, png });
  }
  return pictures;
}

/** @param mask [columns, segments] */
function averaged(mask: Uint8Array, columns: number): { height: number; pixels: Uint8Array } {
  const segments = mask.length / columns;
  const perRow = Math.ceil(segments / MAX_ROWS);
  const height = Math.ceil(segments / perRow);
  const pixels = new Uint8Array(height * columns);
  for (let row = 0; row < height; row++) {
    const from = row * perRow;
    const to = Math.min(segments, from + perRow);
    for (let column = 0; column < columns; column++) {
      let on = 0;
      for (let i = column * segments + from; i < column * segments + to; i++) on += mask[i];
      pixels[row * columns + column] = Math.round((255 * on) / (to - from));
    }
  }
  return { height, pixels };
}

/** @file The masks of a trained task as one small picture per layer. */
import { maskRaster } from '../../adaption/maskRaster.js';
import type { Task } from '../../adaption/task.js';
import { layersOfKind } from '../../model/graph.js';
import type { MaskPicture } from './types.js';

/** A column is an output channel, a row a segment of its filter; white is on, black is off. */
export async function maskPicturesOf(task: Pick<Task, 'graph' | 'masks'>): Promise<MaskPicture[]> {
  const { default: sharp } = await import('sharp');
  const pictures: MaskPicture[] = [];
  for (const { name, outChannels } of layersOfKind(task.graph, 'conv')) {
    const mask = task.masks[name];
    if (!mask) continue;
    const { rows: height, grey } = maskRaster(mask, outChannels);
    const image = sharp(grey, { raw: { width: outChannels, height, channels: 1 } });
    const png = await image.toColourspace('b-w').png({ compressionLevel: 9 }).toBuffer();
    pictures.push({ layer: name, width: outChannels, height, png });
  }
  return pictures;
}

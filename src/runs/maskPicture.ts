import { maskRaster } from '../adaption/maskRaster.js';
import type { Task } from '../adaption/task.js';
import { layersOfKind } from '../model/graph.js';
import type { Picture } from './picture.js';

const GAP = 3;
const BACKGROUND = [200, 208, 220];

/**
 * The masks of a task, one strip per convolution from the first to the last: a column is an output channel, a row a
 * segment of its filter; white is on, black is off.
 */
export function maskPicture(task: Pick<Task, 'graph' | 'masks'>): Picture {
  const strips = layersOfKind(task.graph, 'conv')
    .filter(({ name }) => task.masks[name])
    .map(({ name, outChannels }) => maskRaster(task.masks[name], outChannels));
  const widest = Math.max(...strips.map(({ columns }) => columns));
  const zoom = Math.max(1, Math.floor(1024 / widest));
  const width = widest * zoom + 2 * GAP;
  const height = strips.reduce((sum, { rows }) => sum + rows * zoom + GAP, GAP);
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = BACKGROUND[i % 3];
  let top = GAP;
  for (const { columns, rows, grey } of strips) {
    for (let y = 0; y < rows * zoom; y++) {
      for (let x = 0; x < columns * zoom; x++) {
        const start = ((top + y) * width + GAP + x) * 3;
        pixels.fill(grey[Math.floor(y / zoom) * columns + Math.floor(x / zoom)], start, start + 3);
      }
    }
    top += rows * zoom + GAP;
  }
  return { width, height, pixels };
}

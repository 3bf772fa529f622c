import type { Task } from '../adaption/task.js';
import { layersOfKind } from '../model/graph.js';
import type { Picture } from './picture.js';

/** Tallest strip of one layer, in cells; element masks are averaged down to it. */
const MAX_ROWS = 64;
const GAP = 3;
const BACKGROUND = [200, 208, 220];

interface Strip {
  readonly columns: number;
  readonly rows: number;
  /** Share of bits that are on, [rows, columns]. */
  readonly on: Float32Array;
}

/**
 * The masks of a task, one strip per convolution from the first to the last: a column is an output channel, a row a
 * segment of its filter; white is on, black is off.
 */
export function maskPicture(task: Pick<Task, 'graph' | 'masks'>): Picture {
  const strips = layersOfKind(task.graph, 'conv')
    .filter(({ name }) => task.masks[name])
    .map(({ name, outChannels }) => strip(task.masks[name], outChannels));
  const widest = Math.max(...strips.map(({ columns }) => columns));
  const zoom = Math.max(1, Math.floor(1024 / widest));
  const width = widest * zoom + 2 * GAP;
  const height = strips.reduce((sum, { rows }) => sum + rows * zoom + GAP, GAP);
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = BACKGROUND[i % 3];
  let top = GAP;
  for (const { columns, rows, on } of strips) {
    for (let y = 0; y < rows * zoom; y++) {
      for (let x = 0; x < columns * zoom; x++) {
        const grey = Math.round(255 * on[Math.floor(y / zoom) * columns + Math.floor(x / zoom)]);
        pixels.fill(grey, ((top + y) * width + GAP + x) * 3, ((top + y) * width + GAP + x) * 3 + 3);
      }
    }
    top += rows * zoom + GAP;
  }
  return { width, height, pixels };
}

function strip(mask: Uint8Array, columns: number): Strip {
  const segments = mask.length / columns;
  const perRow = Math.ceil(segments / MAX_ROWS);
  const rows = Math.ceil(segments / perRow);
  const on = new Float32Array(rows * columns);
  mask.forEach((bit, i) => {
    const column = Math.floor(i / segments);
    const row = Math.floor((i % segments) / perRow);
    const averaged = Math.min(perRow, segments - row * perRow);
    on[row * columns + column] += bit / averaged;
  });
  return { columns, rows, on };
}

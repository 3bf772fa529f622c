import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { protocols } from '../data/protocol.js';
import type { TaskName } from '../data/types.js';
import type { Io } from './io.js';
import { formatTable } from './table.js';

/** Prints the tasks with their published sizes and whether their folder is there. */
export function printDataList(io: Io, json: boolean): void {
  const tasks = (Object.keys(protocols) as TaskName[]).map((task) => {
    const root = io.env.XBM_DATA ? join(io.env.XBM_DATA, task) : null;
    return { task, ...protocols[task], root, present: root !== null && existsSync(root) };
  });
  if (json) {
    io.stdout(`${JSON.stringify({ tasks })}\n`);
    return;
  }
  const rows = tasks.flatMap(({ task, title, augmentation, crop, published, root, present }) => {
    const protocol = crop ? `${augmentation}, cropped to the box` : augmentation;
    const where = root === null ? '$XBM_DATA is not set' : present ? root : `${root} (missing)`;
    const counts = published.length > 0 ? published : [null];
    return counts.map((entry, i) => [
      i === 0 ? task : '',
      i === 0 ? title : '',
      entry?.edition ?? null,
      entry?.train ?? null,
      entry?.test ?? null,
      entry?.classes ?? null,
      i === 0 ? protocol : '',
      i === 0 ? where : '',
    ]);
  });
  io.stdout(
    formatTable(
      ['task', 'data set', 'edition', 'train', 'test', 'classes', 'protocol', 'folder'],
      rows,
      io.columns,
    ),
  );
  io.stdout('\ndatasets.md says where each set comes from and how its folder must look.\n');
}

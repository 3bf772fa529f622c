/** @file The confusion matrix as files: rows are true classes, columns predicted ones. */
import { csvField } from '../csv.js';
import type { Evaluation } from '../training/evaluate.js';
import { heatColour, type Picture } from './picture.js';

type Confusion = Pick<Evaluation, 'confusion' | 'classes'>;

/** CSV with class names in the first row and column. */
export function confusionCsv({ confusion, classes }: Confusion, names: readonly string[]): string {
  const rows = names.map((name, label) => {
    const counts = confusion.subarray(label * classes, (label + 1) * classes);
    return [csvField(name), ...counts].join(',');
  });
  return `${[['true \\ predicted', ...names.map(csvField)].join(','), ...rows].join('\n')}\n`;
}

/** One square per pair of classes; the darker, the larger its share of the true class. */
export function confusionPicture({ confusion, classes }: Confusion): Picture {
  const cell = Math.max(1, Math.min(24, Math.floor(800 / classes)));
  const size = classes * cell;
  const pixels = new Uint8Array(size * size * 3);
  for (let label = 0; label < classes; label++) {
    const row = confusion.subarray(label * classes, (label + 1) * classes);
    const total = row.reduce((sum, count) => sum + count, 0);
    row.forEach((count, predicted) => {
      const colour = heatColour(total === 0 ? 0 : count / total);
      for (let y = label * cell; y < (label + 1) * cell; y++)
        for (let x = predicted * cell; x < (predicted + 1) * cell; x++)
          pixels.set(colour, (y * size + x) * 3);
    });
  }
  return { width: size, height: size, pixels };
}

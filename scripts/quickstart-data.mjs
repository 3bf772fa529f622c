// Makes assets/quickstart/{quickdraw,sketches} from the original images; see datasets.md for sources and licences.
//   node scripts/quickstart-data.mjs <QuickDraw folder: class/*.png> <TU-Berlin folder: class/*.png>
// Each image is shrunk to 32×32 grey pixels. Files are taken in ascending name order, train first, then test.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

const [quickdraw, sketches] = process.argv.slice(2);
if (!quickdraw || !sketches) throw new Error('usage: quickstart-data.mjs QUICKDRAW_DIR SKETCHES_DIR');
const assets = new URL('../assets/quickstart/', import.meta.url).pathname;

const everySecond = (names) => names.filter((_, i) => i % 2 === 0);
await shrink('quickdraw', quickdraw, (classes) => classes, { train: 80, test: 60 });
await shrink('sketches', sketches, everySecond, { train: 44, test: 31 });

async function shrink(task, from, choose, counts) {
  rmSync(join(assets, task), { recursive: true, force: true });
  for (const className of choose(readdirSync(from).sort())) {
    const files = readdirSync(join(from, className)).sort();
    let next = 0;
    for (const split of ['train', 'test']) {
      const folder = join(assets, task, split, className);
      mkdirSync(folder, { recursive: true });
      for (let i = 0; i < counts[split]; i++) {
        await sharp(join(from, className, files[next++]))
          .flatten({ background: '#fff' })
          .greyscale()
          .resize(32, 32, { kernel: 'lanczos3' })
          .png({ palette: true, colours: 16, compressionLevel: 9, effort: 10 })
          .toFile(join(folder, `${String(i).padStart(3, '0')}.png`));
      }
    }
  }
}

/** @file A contact sheet: a row of images per class, as the network sees them. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UserError } from '../errors.js';
import { escapeXml } from '../escapeXml.js';
import type { ViewOptions } from './augment.js';
import { requirePixels } from './pixel-cache.js';
import { pixelSpec } from './pixel-spec.js';
import { BatchRenderer, shareImages } from './render.js';
import type { DataSet, Sample, Split } from './types.js';

export interface ContactSheetOptions {
  readonly split: Split;
  /** Classes shown, spread evenly over all. */
  readonly classes: number;
  readonly perClass: number;
  /** `train` shows the augmentation of epoch 0, `evaluate` the deterministic form. */
  readonly view: ViewOptions;
  readonly cacheFolder: string;
}

export interface ContactSheet {
  readonly png: Uint8Array;
  readonly classes: readonly string[];
  readonly images: number;
}

const LABEL_WIDTH = 200;
const GAP = 4;
const TILE = 112;

/**
 * Draws a contact sheet; decodes only the images it shows.
 * @throws UserError when the split is empty
 */
export async function drawContactSheet(
  dataSet: DataSet,
  options: ContactSheetOptions,
): Promise<ContactSheet> {
  const { view, perClass, cacheFolder, split } = options;
  if (dataSet[split].length === 0) {
    throw new UserError(
      `${dataSet.root}: the ${split} split has no images`,
      'Add --set data.validationPercent=10 to hold some of the training images out.',
    );
  }
  const rows = chooseRows(dataSet, options);
  const samples = rows.flatMap((row) => row.samples);
  const spec = pixelSpec(view.augmentation, view.imageSize);
  const images = await requirePixels({ samples, spec, cacheFolder });
  const renderer = new BatchRenderer(view, shareImages(images));
  const { default: sharp } = await import('sharp');
  const raw = { width: view.imageSize, height: view.imageSize, channels: 3 as const };
  const tiles: { input: Buffer; left: number; top: number }[] = [];
  for (const [y, row] of rows.entries()) {
    for (const x of row.samples.keys()) {
      // One at a time: a sheet of large images would not fit the memory.
      const pixels = renderer.render({ epoch: 0, indices: Int32Array.of(tiles.length) });
      const input = await sharp(pixels, { raw }).resize(TILE, TILE).png().toBuffer();
      tiles.push({ input, left: LABEL_WIDTH + x * (TILE + GAP), top: GAP + y * (TILE + GAP) });
    }
  }
  renderer.close();
  const width = LABEL_WIDTH + perClass * (TILE + GAP);
  const height = GAP + rows.length * (TILE + GAP);
  const labels = await drawLabels(
    rows.map(({ name }) => name),
    height,
  );
  const png = await sharp({ create: { width, height, channels: 3, background: '#ffffff' } })
    .composite([{ input: labels, left: 0, top: 0 }, ...tiles])
    .png()
    .toBuffer();
  return { png, classes: rows.map(({ name }) => name), images: samples.length };
}

interface SheetRow {
  readonly name: string;
  readonly samples: readonly Sample[];
}

function chooseRows(dataSet: DataSet, { split, classes, perClass }: ContactSheetOptions): SheetRow[] {
  const total = dataSet.classes.length;
  const shown = Math.min(classes, total);
  return Array.from({ length: shown }, (_, i) => {
    const label = Math.floor((i * total) / shown);
    const samples = dataSet[split].filter((sample) => sample.label === label).slice(0, perClass);
    return { name: dataSet.classes[label], samples };
  });
}

/** Text is drawn with a font of the package: many servers have none. */
async function drawLabels(names: readonly string[], height: number): Promise<Buffer> {
  const { Resvg } = await import('@resvg/resvg-js');
  const texts = names.map((name, i) => {
    const shown = name.length > 28 ? `${name.slice(0, 27)}…` : name;
    const y = GAP + i * (TILE + GAP) + TILE / 2;
    return `<text x="8" y="${y}" font-family="DejaVu Sans" font-size="12">${escapeXml(shown)}</text>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_WIDTH}" height="${height}">${texts.join('')}</svg>`;
  const fonts = dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json'));
  const font = join(fonts, 'ttf', 'DejaVuSans.ttf');
  return new Resvg(svg, { font: { fontFiles: [font], loadSystemFonts: false } }).render().asPng();
}

/** @file The masks of one run on one sheet: a strip per layer, with its name and share off. */
import { escapeXml } from '../../escapeXml.js';
import type { ExperimentRun, MaskPicture } from './types.js';

const PADDING = 10;
const HEAD = 46;
const LABEL_WIDTH = 150;
const STRIP_WIDTH = 560;
const SHARE_WIDTH = 70;
const GAP = 5;
const FONT = 'DejaVu Sans';

/** An SVG like the other charts. @throws Error when the run has no pictures */
export function maskFigure(run: ExperimentRun, title: string): string {
  const { maskPictures, layers } = run;
  if (maskPictures.length === 0) throw new Error(`no mask pictures of ${run.folder}`);
  const width = 2 * PADDING + LABEL_WIDTH + STRIP_WIDTH + SHARE_WIDTH;
  let top = HEAD;
  const strips = maskPictures.map((picture) => {
    const height = stripHeight(picture);
    const share = layers.find(({ name }) => name === picture.layer);
    const drawn = strip(
      picture,
      top,
      height,
      share ? `${((100 * share.off) / share.bits).toFixed(1)} %` : '',
    );
    top += height + GAP;
    return drawn;
  });
  const height = top - GAP + PADDING;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" class="marks" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="10px">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<text x="${PADDING}" y="22" font-size="13px" font-weight="bold" fill="#000">${escapeXml(title)}</text>`,
    `<text x="${PADDING + LABEL_WIDTH}" y="39" fill="#000">one column per output channel, one row per segment of its filter; white on, black off</text>`,
    `<text x="${width - PADDING}" y="39" text-anchor="end" fill="#000">share off</text>`,
    ...strips,
    '</svg>\n',
  ].join('\n');
}

function stripHeight({ height }: MaskPicture): number {
  return Math.min(48, Math.max(11, 2 * height));
}

function strip(picture: MaskPicture, top: number, height: number, share: string): string {
  const left = PADDING + LABEL_WIDTH;
  const baseline = top + height / 2 + 3.5;
  const name = picture.layer.length > 26 ? `…${picture.layer.slice(-25)}` : picture.layer;
  const data = Buffer.from(picture.png).toString('base64');
  // Cells keep their edges unless they are narrower than a pixel.
  const rendering = picture.width <= STRIP_WIDTH ? ' image-rendering="optimizeSpeed"' : '';
  return [
    `<text x="${PADDING}" y="${baseline}" fill="#000">${escapeXml(name)}</text>`,
    `<image x="${left}" y="${top}" width="${STRIP_WIDTH}" height="${height}" preserveAspectRatio="none"${rendering} xlink:href="data:image/png;base64,${data}"/>`,
    `<rect x="${left - 0.5}" y="${top - 0.5}" width="${STRIP_WIDTH + 1}" height="${height + 1}" fill="none" stroke="#888"/>`,
    `<text x="${left + STRIP_WIDTH + SHARE_WIDTH}" y="${baseline}" text-anchor="end" fill="#000">${share}</text>`,
  ].join('\n');
}

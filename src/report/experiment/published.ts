/** @file The published numbers that a group of runs is compared with. */
import { publishedProtocol, publishedTasks } from '../../hardware/published.js';
import type { RunSummary } from '../../runs/summary.js';
import { precisionOf, type RunGroup } from './groups.js';

export interface PublishedResult {
  /** Top-1, per cent; null: not published. */
  readonly accuracy: number | null;
  /** The authors' own, per cent of the mask bits; null: not published. */
  readonly shareOff: number | null;
  /** What is unlike the published experiment, in words; empty: comparable. */
  readonly unlike: readonly string[];
}

const nothing: PublishedResult = { accuracy: null, shareOff: null, unlike: [] };

/** What the literature has for a group's task, method and precision. */
export function publishedFor(group: RunGroup): PublishedResult {
  return publishedResult(group.runs[0].summary);
}

/** What the literature has for the task, method and precision of a run, and what is unlike the published experiment. */
export function publishedResult(summary: RunSummary): PublishedResult {
  const { method } = summary;
  const published = publishedTasks.find(({ name }) => name === summary.task);
  if (!published || method === 'classifier') return nothing;
  const full = precisionOf(summary) === 'full precision';
  const four = summary.weightBits === 4 && summary.activationBits === 4;
  if (!full && !four) return nothing;
  const accuracy = full
    ? method === 'xbm'
      ? null
      : published.fullPrecisionAccuracy[method]
    : published.accuracy[method];
  const granularity = { xbm: 'column', piggyback: 'element', finetune: null }[method];
  const shareOff = four && method !== 'finetune' ? published.shareOff[method] : null;
  const unlike = differences(summary, published);
  if (summary.granularity !== granularity) unlike.push(`masks per ${summary.granularity}`);
  return { accuracy, shareOff, unlike };
}

function differences(summary: RunSummary, published: (typeof publishedTasks)[number]): string[] {
  const train = summary.trainImages + summary.validationImages;
  const found: string[] = [];
  if (summary.classes !== published.classes) {
    found.push(`${summary.classes} of ${published.classes} classes`);
  }
  if (train !== published.trainImages || summary.testImages !== published.testImages) {
    const sizes = (trained: number, tested: number) =>
      `${trained.toLocaleString('en-US')}/${tested.toLocaleString('en-US')}`;
    found.push(
      `${sizes(train, summary.testImages)} train/test images, not ${sizes(published.trainImages, published.testImages)}`,
    );
  }
  const { network, imageSize, epochs, rows } = publishedProtocol;
  if (summary.network !== network) found.push(`${summary.network}, not ${network}`);
  if (summary.imageSize !== imageSize) found.push(`${summary.imageSize} px, not ${imageSize} px`);
  if (summary.epochs !== epochs) found.push(`${summary.epochs} epochs, not ${epochs}`);
  if (summary.rows !== null && summary.rows !== rows) found.push(`${summary.rows} rows, not ${rows}`);
  return found;
}

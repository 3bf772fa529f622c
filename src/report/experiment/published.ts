/** @file The published numbers that a group of runs is compared with. */
import { publishedTasks } from '../../hardware/published.js';
import type { RunSummary } from '../../runs/summary.js';
import type { RunGroup } from './groups.js';

export interface PublishedResult {
  /** Top-1, per cent; null: not published. */
  readonly accuracy: number | null;
  /** The authors' own, per cent of the mask bits; null: not published. */
  readonly shareOff: number | null;
  /** What is unlike the published experiment, in words; empty: comparable. */
  readonly unlike: readonly string[];
}

const nothing: PublishedResult = { accuracy: null, shareOff: null, unlike: [] };

/** What the literature has for a task, method and precision. */
export function publishedFor(group: RunGroup): PublishedResult {
  const { summary } = group.runs[0];
  const published = publishedTasks.find(({ name }) => name === summary.task);
  if (!published || group.method === 'classifier') return nothing;
  const full = group.precision === 'full precision';
  const four = summary.weightBits === 4 && summary.activationBits === 4;
  if (!full && !four) return nothing;
  const accuracy = full
    ? group.method === 'xbm'
      ? null
      : published.fullPrecisionAccuracy[group.method]
    : published.accuracy[group.method];
  const granularity = { xbm: 'column', piggyback: 'element', finetune: null }[group.method];
  const shareOff = four && group.method !== 'finetune' ? published.shareOff[group.method] : null;
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
  if (summary.network !== 'resnet50') found.push(`${summary.network}, not resnet50`);
  if (summary.imageSize !== 224) found.push(`${summary.imageSize} px, not 224 px`);
  return found;
}

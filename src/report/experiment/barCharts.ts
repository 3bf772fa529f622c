/** @file Bars per task and method in the shape of the paper's slides: accuracy, energy per image, energy per data set. */
import type { TopLevelSpec } from 'vega-lite';
import { writeEnergy } from '../assumptions.js';
import { type Chart, METHOD_COLOURS, stackedPanels, taskAxis } from '../chartParts.js';
import { accuracyOf } from './accuracyTables.js';
import { markOf } from './chartMarks.js';
import { costsOf, joulesUnit, pricedGroups, unmaskedMicrojoules } from './costTables.js';
import type { RunGroup } from './groups.js';
import { publishedFor } from './published.js';
import { spreadOf } from './statistics.js';
import type { Chip } from './types.js';

const NO_MASKS = 'no masks';
/** Variants of one method after the first. */
const VARIANT_COLOURS = ['#56B4E9', '#CC79A7', '#F0E442', '#000000'];

/** A colour per label; the first variant of a method has the method's own. */
export function labelColours(groups: readonly RunGroup[]): { domain: string[]; range: string[] } {
  const colours = new Map<string, string>();
  const used = new Set<string>();
  let variant = 0;
  for (const { label, method } of groups) {
    if (colours.has(label)) continue;
    const own = used.has(method)
      ? VARIANT_COLOURS[variant++ % VARIANT_COLOURS.length]
      : METHOD_COLOURS[method];
    used.add(method);
    colours.set(label, own);
  }
  return { domain: [...colours.keys()], range: [...colours.values()] };
}

/** Entries side by side that do not make the legend much wider than the chart, by Vega's estimate of a text. */
export function legendColumns(labels: readonly string[], width: number): number {
  const widest = Math.max(...labels.map((label) => label.length));
  return Math.max(1, Math.min(labels.length, Math.floor((width + 140) / (9 * widest + 30))));
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

interface Bar {
  readonly task: string;
  readonly label: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly mark: string;
}

function bar(
  group: RunGroup,
  spread: { mean: number; deviation: number | null },
  text: (value: string) => string,
): Bar {
  const { mean, deviation } = spread;
  const half = deviation ?? 0;
  const digits = mean >= 10 ? 2 : 4;
  const value =
    deviation === null ? mean.toFixed(digits) : `${mean.toFixed(digits)} ± ${half.toFixed(digits)}`;
  return {
    task: group.task,
    label: group.label,
    value: mean,
    low: mean - half,
    high: mean + half,
    mark: markOf(group.id, `${group.task}, ${group.label}: ${text(value)}`),
  };
}

/** Grouped bars with whiskers of one standard deviation. */
function groupedBars(
  title: string,
  axis: { title: string; domain?: [number, number] },
  bars: readonly Bar[],
  colours: { domain: string[]; range: string[] },
  extra: readonly object[] = [],
): TopLevelSpec {
  const tasks = distinct(bars.map(({ task }) => task));
  const labels = colours.domain;
  const x = taskAxis(tasks);
  const xOffset = { field: 'label', type: 'nominal', sort: labels, scale: { domain: labels } };
  const description = { field: 'mark', type: 'nominal' };
  const width = Math.max(280, tasks.length * Math.max(70, 26 * labels.length + 20));
  return {
    title,
    width,
    height: 240,
    data: { values: bars },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: {
          x,
          xOffset,
          y: {
            field: 'value',
            type: 'quantitative',
            title: axis.title,
            scale: axis.domain ? { domain: axis.domain } : {},
          },
          color: {
            field: 'label',
            type: 'nominal',
            sort: labels,
            title: null,
            scale: colours,
            legend: { orient: 'top', symbolType: 'square', columns: legendColumns(labels, width) },
          },
          description,
        },
      },
      {
        transform: [{ filter: 'datum.high > datum.low' }],
        mark: { type: 'rule', color: '#222222', strokeWidth: 1.2 },
        encoding: {
          x,
          xOffset,
          y: { field: 'low', type: 'quantitative' },
          y2: { field: 'high' },
          description,
        },
      },
      ...extra.map((layer) => ({ ...layer, encoding: { x, xOffset, ...(layer as Layer).encoding } })),
    ],
  } as TopLevelSpec;
}

interface Layer {
  readonly encoding: object;
}

/** One chart per precision; a dark line is the published number. */
export function accuracyCharts(groups: readonly RunGroup[]): Chart[] {
  const precisions = distinct(groups.map(({ precision }) => precision));
  return precisions.map((precision) => {
    const shown = groups.filter((group) => group.precision === precision);
    const bars = shown.map((group) => bar(group, accuracyOf(group), (value) => `${value} %`));
    const published = shown.flatMap((group) => {
      const { accuracy } = publishedFor(group);
      if (accuracy === null) return [];
      const text = `${group.task}, ${group.label}, published: ${accuracy} %`;
      return [{ task: group.task, label: group.label, published: accuracy, mark: markOf(group.id, text) }];
    });
    const ticks = {
      data: { values: published },
      mark: { type: 'tick', thickness: 2, size: 22, color: '#222222', opacity: 1 },
      encoding: {
        y: { field: 'published', type: 'quantitative' },
        description: { field: 'mark', type: 'nominal' },
      },
    };
    return {
      id: precisions.length > 1 ? `accuracy-${precision.replace(/[^a-z0-9]+/g, '-')}` : 'accuracy',
      spec: groupedBars(
        `Top-1 accuracy, ${precision}${published.length > 0 ? '; dark lines: published' : ''}`,
        { title: 'accuracy (%)', domain: [0, 100] },
        bars,
        labelColours(shown),
        published.length > 0 ? [ticks] : [],
      ),
    };
  });
}

/** Energy per image beside the chip without masks. */
export function energyPerImageChart(groups: readonly RunGroup[], chip: Chip, id: string): Chart | null {
  const priced = pricedGroups(groups, chip);
  if (priced.length === 0) return null;
  const tasks = distinct(priced.map(({ task }) => task));
  const colours = labelColours(priced);
  const bars = [
    ...tasks.map((task) => {
      const none = unmaskedMicrojoules(priced.find((group) => group.task === task)!, chip);
      const mark = `${task}, ${NO_MASKS}: ${none.toPrecision(4)} µJ per image`;
      return { task, label: NO_MASKS, value: none, low: none, high: none, mark };
    }),
    ...priced.map((group) => {
      const spread = spreadOf(costsOf(group, chip).map((costs) => costs.energyPerImageMicrojoules))!;
      return bar(group, spread, (value) => `${value} µJ per image`);
    }),
  ];
  return {
    id,
    spec: groupedBars(`Energy per image, ${chip.id}`, { title: 'energy per image (µJ)' }, bars, {
      domain: [NO_MASKS, ...colours.domain],
      range: [METHOD_COLOURS[NO_MASKS], ...colours.range],
    }),
  };
}

/** Reprogramming and inference stacked, a panel per data set. */
export function switchAndInferenceChart(groups: readonly RunGroup[], chip: Chip, id: string): Chart | null {
  const priced = pricedGroups(groups, chip);
  if (priced.length === 0) return null;
  const tasks = distinct(priced.map(({ task }) => task));
  const labels = labelColours(priced).domain;
  const parts = ['inference over the test set', 'reprogramming, once'];
  const { unit, scale } = joulesUnit(priced.flatMap((group) => costsOf(group, chip)));
  const values = priced.flatMap((group) => {
    const { task, label } = group;
    const costs = costsOf(group, chip);
    const energies = [
      spreadOf(costs.map((cost) => cost.inferenceTestSetJoules))!.mean,
      spreadOf(costs.map((cost) => cost.reprogrammingJoules))!.mean,
    ];
    return energies.map((joules, order) => {
      const energy = joules * scale;
      const text = `${task}, ${label}, ${parts[order]}: ${energy.toPrecision(4)} ${unit}`;
      return { task, label, part: parts[order], order, energy, mark: markOf(group.id, text) };
    });
  });
  return {
    id,
    spec: stackedPanels(
      'Reprogramming and inference',
      [chip.id, writeEnergy(chip.report)],
      unit,
      { tasks, labels, parts },
      values,
    ),
  };
}

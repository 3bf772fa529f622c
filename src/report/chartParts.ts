/** @file What the charts of the hardware report and of an experiment's report have in common. */
import type { TopLevelSpec } from 'vega-lite';
import { wrap } from '../wrap.js';

export interface Chart {
  /** A file name. */
  readonly id: string;
  readonly spec: TopLevelSpec;
}

/** Colours keep their method in every chart. */
export const METHOD_COLOURS: Readonly<Record<string, string>> = {
  'no masks': '#999999',
  xbm: '#0072B2',
  piggyback: '#E69F00',
  finetune: '#D55E00',
  classifier: '#009E73',
};

/** The x channel of bars in groups, a group per task. */
export function taskAxis(tasks: readonly string[]) {
  return {
    field: 'task',
    type: 'nominal',
    sort: [...tasks],
    title: null,
    axis: { labelAngle: 0, ticks: false, labelPadding: 6, labelLimit: 140 },
    scale: { paddingInner: 0.25, paddingOuter: 0.15 },
  } as const;
}

/** One bar's part: what it adds to the bar `label` of the panel `task`, lowest `order` first. */
export interface StackedPart {
  readonly task: string;
  readonly label: string;
  readonly part: string;
  readonly order: number;
  readonly energy: number;
  /** For screen readers. */
  readonly mark?: string;
}

const SUBTITLE_SIZE = 11;

/**
 * Energies of one switch of task and of inference, stacked, a panel per task, as in the slides.
 * @param about lines below the title
 */
export function stackedPanels(
  title: string,
  about: readonly string[],
  unit: string,
  order: {
    readonly tasks: readonly string[];
    readonly labels: readonly string[];
    readonly parts: readonly string[];
  },
  values: readonly StackedPart[],
): TopLevelSpec {
  const { tasks, labels, parts } = order;
  // Few panels are drawn wider, for Vega reserves what it thinks that title and legend need.
  const width = Math.max(70, 30 * labels.length, Math.ceil(440 / tasks.length));
  const characters = Math.floor((tasks.length * (width + 12)) / (0.8 * SUBTITLE_SIZE));
  return {
    title: {
      text: title,
      subtitle: about.flatMap((line) => wrap(line, characters)),
      subtitleFontSize: SUBTITLE_SIZE,
    },
    data: { values },
    spacing: 12,
    facet: {
      column: {
        field: 'task',
        type: 'nominal',
        sort: tasks,
        title: null,
        header: { labelOrient: 'top', labelPadding: 4, labelLimit: 140 },
      },
    },
    spec: {
      width,
      height: 240,
      mark: { type: 'bar', width: { band: 0.66 } },
      encoding: {
        x: {
          field: 'label',
          type: 'nominal',
          sort: labels,
          title: null,
          axis: { labelAngle: -45, ticks: false, labelLimit: 140 },
        },
        y: { field: 'energy', type: 'quantitative', title: `energy (${unit})` },
        color: {
          field: 'part',
          type: 'nominal',
          title: null,
          scale: { domain: parts, range: [METHOD_COLOURS.xbm, METHOD_COLOURS.piggyback] },
          legend: { orient: 'top', symbolType: 'square' },
        },
        order: { field: 'order', type: 'quantitative' },
        ...(values.some(({ mark }) => mark !== undefined) && {
          description: { field: 'mark', type: 'nominal' },
        }),
      },
    },
  } as TopLevelSpec;
}

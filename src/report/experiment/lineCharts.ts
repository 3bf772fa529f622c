/** @file Lines per task: training curves, and the share off of every layer. */
import type { TopLevelSpec } from 'vega-lite';
import type { Chart } from '../chartParts.js';
import { labelColours, legendColumns } from './barCharts.js';
import { markOf } from './chartMarks.js';
import type { RunGroup } from './groups.js';
import { spreadOf } from './statistics.js';

/** "xbm", or "xbm, full precision" where a report has both. */
function seriesName({ label, precision }: RunGroup, groups: readonly RunGroup[]): string {
  return groups.some((other) => other.precision !== precision) ? `${label}, ${precision}` : label;
}

/** Colour by method and variant; dashes by precision. */
function seriesScales(groups: readonly RunGroup[]) {
  const colours = labelColours(groups);
  const names = [...new Set(groups.map((group) => seriesName(group, groups)))];
  const first = names.map((name) => groups.find((group) => seriesName(group, groups) === name)!);
  const precisions = [...new Set(groups.map(({ precision }) => precision))];
  return {
    names,
    colours: first.map(({ label }) => colours.range[colours.domain.indexOf(label)]),
    dashes: first.map(
      ({ precision }) =>
        [
          [1, 0],
          [5, 3],
          [2, 2],
        ][precisions.indexOf(precision) % 3],
    ),
  };
}

function seriesEncoding(groups: readonly RunGroup[], width: number) {
  const { names, colours, dashes } = seriesScales(groups);
  const legend = {
    orient: 'top',
    symbolType: 'stroke',
    symbolStrokeWidth: 2,
    columns: legendColumns(names, width),
  };
  return {
    color: {
      field: 'series',
      type: 'nominal',
      sort: names,
      title: null,
      scale: { domain: names, range: colours },
      legend,
    },
    strokeDash: {
      field: 'series',
      type: 'nominal',
      sort: names,
      title: null,
      scale: { domain: names, range: dashes },
      legend,
    },
  };
}

/** Loss and accuracy on the training images by epoch, one line per run; null without curves. */
export function trainingChart(groups: readonly RunGroup[], id: string): Chart | null {
  const values = groups.flatMap((group) =>
    group.runs.flatMap(({ curve, summary }) =>
      curve.map(({ epoch, loss, accuracy }) => ({
        series: seriesName(group, groups),
        run: `${group.id} ${summary.seed}`,
        epoch,
        loss,
        accuracy,
        mark: markOf(group.id, `${group.task}, ${group.label}, ${group.precision}, seed ${summary.seed}`),
      })),
    ),
  );
  if (values.length === 0) return null;
  const last = Math.max(...values.map(({ epoch }) => epoch));
  const panel = (field: string, title: string, scale: object) => ({
    width: 270,
    height: 200,
    mark: { type: 'line', strokeWidth: 1.8, point: last === 1 },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        title: 'epoch',
        scale: { domain: [Math.min(1, last - 1), last], nice: false },
        axis: { tickMinStep: 1, format: 'd', grid: false, tickCount: 6 },
      },
      y: { field, type: 'quantitative', title, scale },
      detail: { field: 'run', type: 'nominal' },
      description: { field: 'mark', type: 'nominal' },
      ...seriesEncoding(groups, 560),
    },
  });
  return {
    id,
    spec: {
      title: `Training, ${groups[0].task}`,
      data: { values },
      spacing: 24,
      hconcat: [
        panel('loss', 'training loss (nats)', { zero: true, nice: true }),
        panel('accuracy', 'training accuracy (%)', { domain: [0, 100] }),
      ],
    } as TopLevelSpec,
  };
}

/** Share off of every layer from the first to the last, mean over seeds; null without masks. */
export function layerChart(groups: readonly RunGroup[], id: string): Chart | null {
  const masked = groups.filter(({ runs }) => runs.some(({ layers }) => layers.length > 0));
  if (masked.length === 0) return null;
  const layers = [
    ...new Set(masked.flatMap(({ runs }) => runs.flatMap((run) => run.layers.map(({ name }) => name)))),
  ];
  const values = masked.flatMap((group) =>
    layers.flatMap((layer) => {
      const shares = group.runs.flatMap((run) =>
        run.layers.flatMap(({ name, bits, off }) => (name === layer && bits > 0 ? [(100 * off) / bits] : [])),
      );
      const share = spreadOf(shares);
      if (!share) return [];
      const series = seriesName(group, masked);
      return [{ series, layer, share: share.mean, mark: markOf(group.id, `${group.task}, ${series}`) }];
    }),
  );
  const width = Math.max(320, 13 * layers.length);
  return {
    id,
    spec: {
      title: `Share off per layer, ${groups[0].task}`,
      width,
      height: 220,
      data: { values },
      mark: { type: 'line', strokeWidth: 1.5, point: { size: 22, filled: true } },
      encoding: {
        x: {
          field: 'layer',
          type: 'nominal',
          sort: layers,
          title: null,
          axis: { labelAngle: -90, labelFontSize: 9, labelOverlap: false, labelLimit: 160, grid: false },
        },
        y: {
          field: 'share',
          type: 'quantitative',
          title: 'share off (%)',
          scale: { zero: true, nice: true },
        },
        description: { field: 'mark', type: 'nominal' },
        ...seriesEncoding(masked, width),
      },
    } as TopLevelSpec,
  };
}

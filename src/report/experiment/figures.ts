/** @file Every figure of an experiment, with the results it shows. */
import { writeEnergy } from '../assumptions.js';
import type { Chart } from '../chartParts.js';
import { areaPie } from '../hardwareCharts.js';
import { renderSvg } from '../render.js';
import { accuracyCharts, energyPerImageChart, switchAndInferenceChart } from './barCharts.js';
import { mapMarks } from './chartMarks.js';
import { pricedGroups } from './costTables.js';
import type { RunGroup } from './groups.js';
import { layerChart, trainingChart } from './lineCharts.js';
import { maskFigure } from './maskFigure.js';
import { slug, uniqueSlugs } from './slug.js';
import type { ExperimentReport } from './types.js';

/** Where a figure stands in the report. */
export type FigureSection = 'accuracy' | 'energy' | 'chip' | 'training' | 'layers' | 'masks';

export interface Figure {
  /** A file name. */
  readonly id: string;
  readonly section: FigureSection;
  /** As Vega drew it: marks still carry the ids of their groups, see chartMarks.ts. */
  readonly svg: string;
  /** What it shows, in one sentence. */
  readonly caption: string;
  /** Groups of runs that it is made of. */
  readonly groups: readonly RunGroup[];
}

/** Suffix of the ids of a chip's tables and figures: empty where there is one chip only. */
export function chipSuffix({ chips }: Pick<ExperimentReport, 'chips'>, id: string): string {
  if (chips.length < 2) return '';
  return `-${uniqueSlugs(chips.map((chip) => chip.id)).get(id)!}`;
}

export async function experimentFigures(
  report: ExperimentReport,
  groups: readonly RunGroup[],
): Promise<Figure[]> {
  const figures: Figure[] = [];
  const add = async (
    section: FigureSection,
    chart: Chart | null,
    caption: string,
    shown: readonly RunGroup[],
  ): Promise<void> => {
    if (chart)
      figures.push({ id: chart.id, section, svg: await renderSvg(chart.spec), caption, groups: shown });
  };
  const seeds = groups.some(({ runs }) => runs.length > 1)
    ? '; whiskers are one standard deviation over seeds'
    : '';
  for (const chart of groups.length > 0 ? accuracyCharts(groups) : []) {
    await add('accuracy', chart, `Top-1 accuracy on the test images by task and method${seeds}.`, groups);
  }
  for (const chip of report.chips) {
    const suffix = chipSuffix(report, chip.id);
    const priced = pricedGroups(groups, chip);
    await add(
      'energy',
      energyPerImageChart(groups, chip, `energy-per-image${suffix}`),
      'Energy of one inference, beside the same chip without masks.',
      priced,
    );
    await add(
      'energy',
      switchAndInferenceChart(groups, chip, `reprogramming-and-inference${suffix}`),
      `Reprogramming from the backbone to the task once, and inference over the test set: ${writeEnergy(chip.report)}.`,
      priced,
    );
    await add(
      'chip',
      { ...areaPie(chip.report), id: `area${suffix}` },
      'Share of every component in the area.',
      [],
    );
  }
  const tasks = [...new Set(groups.map(({ task }) => task))];
  const slugs = uniqueSlugs(tasks);
  for (const task of tasks) {
    const own = groups.filter((group) => group.task === task);
    await add(
      'training',
      trainingChart(own, `training-${slugs.get(task)}`),
      'Loss and accuracy on the training images, one line per run.',
      own,
    );
    await add(
      'layers',
      layerChart(own, `share-off-per-layer-${slugs.get(task)}`),
      'Share of mask bits that are off in every layer, from the first to the last; mean over seeds.',
      own.filter(({ runs }) => runs.some(({ layers }) => layers.length > 0)),
    );
  }
  return [...figures, ...maskFigures(groups)];
}

function maskFigures(groups: readonly RunGroup[]): Figure[] {
  return groups.flatMap((group) =>
    group.runs
      .filter(({ maskPictures }) => maskPictures.length > 0)
      .map((run): Figure => {
        const title = `Masks: ${group.task}, ${group.label}, ${group.precision}, seed ${run.summary.seed}`;
        return {
          id: `masks-${slug(group.id.replace(/^run-/, ''))}-s${run.summary.seed}`,
          section: 'masks',
          svg: maskFigure(run, title),
          caption: `${title}.`,
          groups: [group],
        };
      }),
  );
}

/** The figure as a file of its own. */
export function standaloneSvg(figure: Figure): string {
  return mapMarks(figure.svg, new Set(figure.groups.map(({ id }) => id)), (element) => element);
}
